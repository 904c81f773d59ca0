// Text with a value at each token. Text reaches the page through textContent alone.
// data: version, mode ("values" | "choices"), label, unit, noun, scale, clipped, total,
//       paragraphs [{t: texts, v: values or null, p: places, k: {index: values of its tokens}, w: words}],
//       link, legend, large, selected [places]. A hidden character arrives as \u0000NAME\u0000.
// Strips of one link stand side by side: pointing at a word in one marks the same word, by its number, in all.

const LEVELS = 10
const FEWEST_STRONG = 5
const MOST_STRONG = 20
const HEADER_PX = 64 // a tooltip must not hide under the page's header
const KEYS = {
  values: "← → token · ↑ ↓ line · n p next or previous strong token · Enter pin · Esc close",
  choices: "← → token · Enter choose or release · Esc close",
}
const POINTED = "whence-pointed"
const states = new WeakMap()

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".whence")
  if (!root || !data) return
  let state = states.get(parentElement)
  if (!state) {
    state = { root, active: -1, version: null }
    states.set(parentElement, state)
    listen(state)
    state.onPointed = (event) => light(state, event.detail)
    document.addEventListener(POINTED, state.onPointed)
  }
  state.send = (places) => setTriggerValue("chosen", places)
  if (state.version !== data.version) build(state, data)
  mark(state, data.selected)
  return () => {
    clearTimeout(state.timer)
    document.removeEventListener(POINTED, state.onPointed)
    states.delete(parentElement)
  }
}

function make(tag, className, text) {
  const node = document.createElement(tag)
  if (className) node.className = className
  if (text !== undefined) node.textContent = text
  return node
}

function number(value, digits = 3) {
  if (value === 0) return "0"
  const size = Math.abs(value)
  const text =
    size < 1e-5 || size >= 1e9
      ? size.toExponential(digits - 1)
      : size.toLocaleString("en-US", { maximumSignificantDigits: digits })
  return (value > 0 ? "+" : "−") + text
}

function build(state, data) {
  Object.assign(state, { version: data.version, data, items: [], active: -1 })
  const text = state.root.querySelector(".text")
  state.root.className = "whence " + data.mode + (data.link ? " linked" : "") + (data.large ? " large" : "")
  state.lit = []
  text.setAttribute("aria-label", data.label)
  text.setAttribute("role", data.mode === "choices" ? "listbox" : "application")
  if (data.mode === "choices") text.setAttribute("aria-multiselectable", "true")
  const blocks = data.paragraphs.map((paragraph) => block(state, paragraph))
  text.replaceChildren(...blocks)
  text.scrollTop = 0
  if (data.mode === "values") rank(state)
  legend(state)
  state.root.querySelector(".keys").textContent = KEYS[data.mode]
  hide(state)
}

function block(state, paragraph) {
  const node = make("div", "paragraph")
  node.dir = "auto"
  paragraph.t.forEach((text, i) => {
    const value = paragraph.v[i]
    const span = make("span", "unit")
    if (paragraph.p[i] === -1) span.append(make("span", "start", "start"))
    else fill(span, text, value !== null)
    if (value === null) span.classList.add("context")
    else {
      span.dataset.i = state.items.length
      span.id = "u" + state.items.length
      state.items.push({ span, text, value, place: paragraph.p[i], parts: paragraph.k?.[i], word: paragraph.w?.[i] ?? -1 })
      style(span, value, state.data)
    }
    node.append(span)
  })
  return node
}

function fill(span, text, scored) {
  text.split("\u0000").forEach((piece, i) => {
    if (i % 2) return span.append(make("span", "chip", "⟦" + piece + "⟧"))
    const lines = piece.split("\n")
    lines.forEach((line, j) => {
      if (line) span.append(line)
      if (j === lines.length - 1) return
      if (scored) span.append(make("span", "newline", "↵"))
      if (j < lines.length - 2 || lines[j + 1]) span.append("\n")
    })
  })
}

function style(span, value, data) {
  span.classList.add("scored")
  if (data.mode === "choices") {
    span.setAttribute("role", "option")
    span.setAttribute("aria-selected", "false")
    if (!span.textContent.trim()) span.setAttribute("aria-label", "blank") // else a choice without a name
    return
  }
  const shade = level(value, data)
  if (!shade) return
  span.classList.add(value > 0 ? "plus" : "minus", (value > 0 ? "p" : "m") + shade)
}

function level(value, data) {
  return Math.min(Math.round((LEVELS * Math.abs(value)) / (data.scale || 1)), LEVELS)
}

function rank(state) {
  const order = state.items.map((_, i) => i)
  order.sort((a, b) => Math.abs(state.items[b].value) - Math.abs(state.items[a].value) || a - b)
  order.forEach((i, place) => (state.items[i].rank = place + 1))
  const count = Math.max(FEWEST_STRONG, Math.min(Math.ceil(order.length / 10), MOST_STRONG))
  state.strong = order.slice(0, count).filter((i) => (state.data.large ? level(state.items[i].value, state.data) : state.items[i].value !== 0))
  state.strong.forEach((i) => state.items[i].span.classList.add("strong", state.items[i].value > 0 ? "plus" : "minus"))
  state.strong.sort((a, b) => a - b)
}

function legend(state) {
  const { data } = state
  const node = state.root.querySelector(".legend")
  node.replaceChildren()
  if (data.mode !== "values" || !state.items.length || data.legend === false) return
  const scale = make("span", "scale")
  scale.append(make("span", "", number(-data.scale) + (data.clipped ? " or below" : "")), make("span", "bar"), make("span", "", number(data.scale) + (data.clipped ? " or above" : "")))
  const words = make("span", "muted", data.unit + " · orange lowers, blue raises · underlined: the " + state.strong.length + " strongest")
  node.append(scale, words)
}

function mark(state, selected) {
  state.selected = new Set(selected)
  for (const item of state.items) {
    const on = state.selected.has(item.place)
    if (state.data.mode === "choices") item.span.setAttribute("aria-selected", String(on))
    else item.span.classList.toggle("pinned", on)
  }
}

function toggle(state, i) {
  const { place } = state.items[i]
  if (place < 0) return
  const many = state.data.mode === "choices"
  const next = new Set(many ? state.selected : [])
  if (state.selected.has(place)) next.delete(place)
  else next.add(place)
  mark(state, next)
  say(state, state.selected.has(place) ? "chosen" : "released")
  state.send([...next])
}

function point(state, i, reveal = false) {
  if (!state.data.link) return
  const word = i < 0 ? -1 : state.items[i].word
  document.dispatchEvent(new CustomEvent(POINTED, { detail: { link: state.data.link, word, reveal, from: state } }))
}

function light(state, { link, word, reveal, from }) {
  if (!state.data || link !== state.data.link) return
  if (word < 0 && state.litBy !== from) return // another strip is pointed at meanwhile
  state.litBy = from
  for (const span of state.lit) span.classList.remove("same")
  state.lit = word < 0 ? [] : state.items.filter((item) => item.word === word).map((item) => item.span)
  for (const span of state.lit) span.classList.add("same")
  if (reveal && from !== state && state.lit.length) centre(state.root.querySelector(".text"), state.lit[0])
}

function centre(box, span) {
  const frame = box.getBoundingClientRect()
  const at = span.getBoundingClientRect()
  if (at.top < frame.top || at.bottom > frame.bottom) box.scrollTop += at.top - frame.top - frame.height / 2
}

function describe(state, i) {
  const { data } = state
  const item = state.items[i]
  const shown = item.place === -1 ? "start of the text" : item.text.replaceAll("\n", "↵").split("\u0000").map((t, j) => (j % 2 ? "⟦" + t + "⟧" : t)).join("")
  const lines = ["“" + shown + "”", number(item.value, 5) + " " + data.unit]
  if (item.parts) lines.push(item.parts.length + " tokens: " + item.parts.map((v) => number(v)).join(", "))
  const where = item.place === -1 ? "start token" : "token " + (item.place + 1).toLocaleString("en-US") + " of " + data.total.toLocaleString("en-US")
  lines.push(where + (item.rank ? " · rank " + item.rank.toLocaleString("en-US") + " by strength" : ""))
  if (data.noun) lines[1] = data.noun + " " + lines[1]
  return lines
}

function show(state, i) {
  clearTimeout(state.timer)
  const tip = state.root.querySelector(".tip")
  const [text, value, ...rest] = describe(state, i)
  const strong = make("div")
  strong.append(make("b", "", value))
  tip.replaceChildren(make("div", "", text), strong, ...rest.map((line) => make("div", "muted", line)))
  tip.firstChild.dir = "auto"
  tip.hidden = false
  const at = state.items[i].span.getClientRects()[0] ?? state.items[i].span.getBoundingClientRect()
  const box = tip.getBoundingClientRect()
  const above = at.top - box.height - 4
  tip.style.left = Math.max(4, Math.min(at.left, window.innerWidth - box.width - 8)) + "px"
  tip.style.top = (above > HEADER_PX ? above : at.bottom + 4) + "px"
  state.items[i].span.setAttribute("aria-describedby", "tip")
  state.tipOf = i
  point(state, i, state.active === i)
}

function hide(state) {
  clearTimeout(state.timer)
  state.root.querySelector(".tip").hidden = true
  point(state, -1)
  if (state.items?.[state.tipOf]) state.items[state.tipOf].span.removeAttribute("aria-describedby")
}

function say(state, extra) {
  const lines = describe(state, state.active)
  state.root.querySelector(".status").textContent = [...lines, ...(extra ? [extra] : [])].join(", ")
}

function go(state, i) {
  if (!state.items.length) return
  const text = state.root.querySelector(".text")
  state.items[state.active]?.span.classList.remove("active")
  state.active = Math.max(0, Math.min(i, state.items.length - 1))
  const { span } = state.items[state.active]
  span.classList.add("active")
  span.scrollIntoView({ block: "nearest" })
  text.setAttribute("aria-activedescendant", span.id)
  show(state, state.active)
  say(state)
}

function line(state, step) {
  const rect = (i) => state.items[i].span.getBoundingClientRect()
  const here = rect(Math.max(state.active, 0))
  let best = -1
  let top = null
  for (let i = state.active + step; i >= 0 && i < state.items.length; i += step) {
    const there = rect(i)
    if (step > 0 ? there.top < here.top + here.height / 2 : there.top > here.top - here.height / 2) continue
    top ??= there.top
    if (Math.abs(there.top - top) > here.height / 2) break
    if (best < 0 || Math.abs(there.left - here.left) < Math.abs(rect(best).left - here.left)) best = i
  }
  return best < 0 ? state.active : best
}

function jump(state, step) {
  const strong = state.strong ?? []
  const next = step > 0 ? strong.find((i) => i > state.active) : strong.findLast((i) => i < state.active)
  return next ?? state.active
}

function press(state, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return
  const last = () => state.items.length - 1
  const moves = {
    ArrowRight: () => state.active + 1,
    ArrowLeft: () => state.active - 1,
    ArrowDown: () => line(state, 1),
    ArrowUp: () => line(state, -1),
    n: () => jump(state, 1),
    p: () => jump(state, -1),
    Home: () => 0,
    End: last,
  }
  if (moves[event.key]) go(state, moves[event.key]())
  else if ((event.key === "Enter" || event.key === " ") && state.active >= 0) toggle(state, state.active)
  else if (event.key === "Escape") hide(state)
  else return
  event.preventDefault()
  event.stopPropagation()
}

function listen(state) {
  const { root } = state
  const text = root.querySelector(".text")
  const tip = root.querySelector(".tip")
  const at = (event) => {
    const span = event.target.closest?.(".scored")
    return span ? Number(span.dataset.i) : -1
  }
  const leave = () => {
    clearTimeout(state.timer)
    state.timer = setTimeout(() => hide(state), 150)
  }
  text.onkeydown = (event) => press(state, event)
  text.onfocus = () => text.matches(":focus-visible") && go(state, Math.max(state.active, 0))
  text.onblur = leave
  text.onscroll = leave
  text.onpointerover = (event) => (at(event) >= 0 ? show(state, at(event)) : leave())
  text.onpointerleave = leave
  tip.onpointerenter = () => clearTimeout(state.timer)
  tip.onpointerleave = leave
  text.onclick = (event) => {
    if (at(event) < 0) return
    state.items[state.active]?.span.classList.remove("active")
    state.active = at(event)
    state.items[state.active].span.classList.add("active")
    point(state, state.active, true)
    toggle(state, state.active)
  }
}
