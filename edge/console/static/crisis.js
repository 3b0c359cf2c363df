// Sends files to a crisis, one after another, each as the body of a request.
const place = document.querySelector("[data-give]")
const list = place.querySelector("ul")
const said = (text) => list.appendChild(Object.assign(document.createElement("li"), { textContent: text, dir: "auto" }))

async function give(files) {
  for (const file of files) {
    const line = said(`${file.name}: ${list.dataset.sending}`)
    const headers = { "x-console-csrf": place.dataset.csrf, "x-console-file": encodeURIComponent(file.name) }
    try {
      const answer = await fetch(place.dataset.give, { method: "POST", headers, body: file, redirect: "manual" })
      const problem = answer.type === "opaqueredirect" ? "" : new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(".problem")?.textContent ?? answer.statusText
      line.textContent = `${file.name}: ${problem || list.dataset.known}`
    } catch (error) {
      line.textContent = `${file.name}: ${error.message}`
    }
  }
}

place.querySelector("input[type=file]").addEventListener("change", (event) => give([...event.target.files]))
place.addEventListener("dragover", (event) => event.preventDefault())
place.addEventListener("drop", (event) => {
  event.preventDefault()
  give([...event.dataTransfer.files])
})
