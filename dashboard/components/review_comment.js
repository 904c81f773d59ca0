// A key puts the cursor into the comment. Enter takes it out of the comment and the name, Esc out of any field, so
// that the keys on the buttons act again; they do not while something is being typed.

export default function (component) {
  const { data, parentElement } = component
  const root = parentElement.querySelector(".whence-comment-key")
  if (!root || !data) return
  const press = (event) => {
    const typing = event.composedPath()[0].closest?.("input, textarea, select, [contenteditable=true]")
    const modified = event.ctrlKey || event.metaKey || event.altKey
    const comment = document.querySelector(data.comment)
    if (!typing && !modified && comment && event.key.toLowerCase() === data.key) {
      comment.focus()
      event.preventDefault() // else the letter is written into the comment
    } else if (typing && leaves(event, typing)) {
      setTimeout(() => typing.blur()) // after the page has taken what was typed
    }
  }
  const leaves = (event, field) =>
    event.key === "Escape"
      ? field.getAttribute("aria-expanded") !== "true" // the first Esc closes a list
      : event.key === "Enter" && field.matches(data.fields)
  document.removeEventListener("keydown", root.press)
  root.press = press
  document.addEventListener("keydown", press)
  return () => document.removeEventListener("keydown", root.press)
}
