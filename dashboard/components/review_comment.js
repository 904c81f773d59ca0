// M puts the cursor into the comment; Enter and Esc take it out again, so that the keys on the buttons act.

export default function (component) {
  const { data, parentElement } = component
  const root = parentElement.querySelector(".whence-comment-key")
  if (!root || !data) return
  const field = () => document.querySelector(`.st-key-${data.field} input`)
  const press = (event) => {
    const typing = event.composedPath()[0].closest?.("input, textarea, select, [contenteditable=true]")
    const modified = event.ctrlKey || event.metaKey || event.altKey
    if (!typing && !modified && event.key.toLowerCase() === data.key && field()) {
      field().focus()
      event.preventDefault() // else the letter is written into the comment
    } else if (typing && typing === field() && ["Enter", "Escape"].includes(event.key)) {
      setTimeout(() => typing.blur()) // after Streamlit has taken what was typed
    }
  }
  document.removeEventListener("keydown", root.press)
  root.press = press
  document.addEventListener("keydown", press)
  return () => document.removeEventListener("keydown", root.press)
}
