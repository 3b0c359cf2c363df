// The console's own script: times in the reader's zone and language, rows that refresh by themselves, keys,
// dialogs and the player. Every page works without it, but for the player.
const page = document.documentElement
const language = page.lang === "ar" ? "ar-u-nu-latn" : page.lang
const moments = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" })
const spans = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" })
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]]

function showTimes(root) {
  for (const time of root.querySelectorAll("time[data-show]")) {
    const at = new Date(time.dateTime)
    const passed = (at - Date.now()) / 1000
    const [unit, length] = UNITS.find(([, length]) => Math.abs(passed) >= length) ?? UNITS[3]
    const text = time.dataset.show === "ago" ? spans.format(Math.trunc(passed / length), unit) : moments.format(at)
    if (time.textContent !== text) time.textContent = text
    if (!time.title) time.title = moments.format(at)
  }
}
showTimes(document)
setInterval(() => document.hidden || showTimes(document), 1000)

// Whoever moves, types or watches is there: then the session does not end as idle.
let active = true
for (const event of ["pointermove", "keydown", "scroll"]) addEventListener(event, () => (active = true), { passive: true })

async function fetched(url, part, seen = "") {
  const headers = { "x-console-part": part, "x-console-seen": seen }
  if (part === "rows" && !active) headers["x-console-idle"] = "1"
  if (part === "rows") active = false
  const answer = await fetch(url, { headers, redirect: "error" })
  if (answer.status === 401) location.reload()
  return answer
}

const connection = document.querySelector(".connection")
async function keepFresh(rows) {
  const every = Number(rows.dataset.every)
  for (;;) {
    await new Promise((wake) => setTimeout(wake, every))
    if (document.hidden || rows.querySelector("details[open], input:focus, select:focus")) continue
    try {
      const answer = await fetched(rows.dataset.refresh, "rows", rows.dataset.seen)
      if (answer.status === 200) {
        rows.dataset.seen = answer.headers.get("x-console-seen") ?? ""
        const fresh = document.createElement("template")
        fresh.innerHTML = await answer.text()
        showTimes(fresh.content)
        Idiomorph.morph(rows, fresh.content, { morphStyle: "innerHTML", callbacks: { beforeAttributeUpdated } })
        select(selected ?? jobs()[0], false)
      }
      connection.textContent = ""
    } catch {
      connection.textContent = connection.dataset.lost
    }
  }
}
const beforeAttributeUpdated = (name) => name !== "title"
for (const rows of document.querySelectorAll("[data-refresh]")) keepFresh(rows)

// Dialogs: a decision's page, shown over this one.
const dialog = document.getElementById("dialog")
async function openDialog(link) {
  const url = new URL(link.href)
  if (link.hasAttribute("data-stretch") && stretch.from !== undefined) {
    url.searchParams.set("from", stretch.from.toFixed(2))
    url.searchParams.set("to", (stretch.to ?? video.duration).toFixed(2))
  }
  try {
    const answer = await fetched(url, "dialog")
    dialog.innerHTML = await answer.text()
  } catch {
    location.assign(url)
    return
  }
  showTimes(dialog)
  dialog.showModal()
  dialog.querySelector("[autofocus]")?.focus()
}
document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-dialog], [data-close], [data-open], [data-seek]")
  if (!target || event.ctrlKey || event.metaKey) return
  if (target.hasAttribute("data-dialog")) {
    event.preventDefault()
    openDialog(target)
  } else if (target.dataset.open) document.getElementById(target.dataset.open).showModal()
  else if (target.dataset.seek) seek(Number(target.dataset.seek) / 1000)
  else if (target !== dialog) dialog.close()
})
document.addEventListener("change", (event) => {
  if (event.target.hasAttribute("data-submit")) event.target.form.submit()
})
// A decision is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return
  if (event.target.dataset.sent) event.preventDefault()
  event.target.dataset.sent = "1"
})
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent
})

// Keys, by their place on the keyboard, so that they work in every layout.
let selected = null
const jobs = () => [...document.querySelectorAll("li[data-job], tr[data-job]")]
function select(job, focus = true) {
  const all = jobs()
  if (job && !all.includes(job)) job = all.find((each) => each.id === job.id) ?? all[0]
  for (const each of all) each.classList.toggle("selected", each === job)
  selected = job ?? null
  if (focus && job) job.focus({ preventScroll: false })
}
function step(by) {
  const all = jobs()
  if (!all.length) return document.querySelector("[data-act=next]")?.click()
  const at = all.indexOf(selected)
  select(all[Math.min(all.length - 1, Math.max(0, at < 0 ? 0 : at + by))])
}
document.addEventListener("focusin", (event) => {
  const job = event.target.closest("li[data-job], tr[data-job]")
  if (job) select(job, false)
})
if (document.querySelector("ol.queue") || document.querySelector("#rows table")) select(jobs()[0], false)

const ACTS = { KeyC: "claim", KeyV: "confirm", KeyO: "overturn", KeyE: "escalate", KeyX: "cut", KeyU: "undo", KeyT: "take", KeyW: "watch", KeyI: "incident" }
const OF_PAGE = ["undo", "take"]
function act(name) {
  const around = OF_PAGE.includes(name) ? document : selected ?? document.querySelector("[data-current]")
  const control = around?.querySelector(`[data-act=${name}]`)
  if (control?.form) control.form.requestSubmit(control)
  else control?.click()
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return
  if (document.querySelector("dialog[open]") || event.target.closest("input, select, textarea")) return
  if (event.key === "?") document.getElementById("keys")?.showModal()
  else if (event.code in ACTS) act(ACTS[event.code])
  else if (event.code === "KeyN" || event.code === "KeyJ") step(1)
  else if (event.code === "KeyP" || event.code === "KeyK") step(-1)
  else if (event.code === "KeyQ") location.assign("/console/queue")
  else if (event.code === "KeyL") location.assign("/console/live")
  else if (event.key === "Enter" && selected?.dataset.href && !event.target.closest("a, button, summary")) location.assign(selected.dataset.href)
  else if (!playerKey(event)) return
  event.preventDefault()
})

// The player.
const video = document.getElementById("video")
const player = document.getElementById("player")
const FRAME_S = 1 / 25
const stretch = {}
const control = (id) => document.getElementById(id)
function reveal() {
  if (!video || video.src) return
  control("warning").hidden = true
  video.src = video.dataset.src
}
function seek(at) {
  reveal()
  video.pause()
  const go = () => (video.currentTime = Math.max(0, Math.min(at, video.duration || at)))
  if (video.readyState) go()
  else video.addEventListener("loadedmetadata", go, { once: true })
}
function toggle() {
  reveal()
  if (video.paused) video.play()
  else video.pause()
}
function setSpeed(speed) {
  video.playbackRate = Number(speed)
  for (const each of document.querySelectorAll("[data-speed]")) each.setAttribute("aria-pressed", String(each.dataset.speed === speed))
}
function playerKey(event) {
  if (player && event.code === "KeyH") {
    player.classList.toggle("seen")
    return true
  }
  if (!video) return false
  if (event.key === " " && !event.target.closest("button, a, summary")) toggle()
  else if (event.code === "Comma") seek(video.currentTime - FRAME_S)
  else if (event.code === "Period") seek(video.currentTime + FRAME_S)
  else if (event.code === "BracketLeft") mark("from")
  else if (event.code === "BracketRight") mark("to")
  else if (/^Digit[1-4]$/.test(event.code)) setSpeed(["0.25", "0.5", "1", "2"][event.code.at(-1) - 1])
  else return false
  return true
}
// Who points at the poster or holds the button sees it without blur.
if (player) {
  const seen = (on) => () => player.classList.toggle("seen", on)
  player.addEventListener("pointerenter", seen(true))
  player.addEventListener("pointerleave", seen(false))
  const hold = control("hold")
  for (const event of ["pointerdown", "keydown"]) hold?.addEventListener(event, seen(true))
  for (const event of ["pointerup", "keyup", "blur", "pointerleave"]) hold?.addEventListener(event, seen(false))
}

// What a player shows is counted. Whoever has watched enough sees no more.
const watched = document.querySelector("video[data-watched]")
if (watched) {
  let shownMs = 0
  let at = performance.now()
  setInterval(async () => {
    const passed = performance.now() - at
    at = performance.now()
    if (!watched.paused) {
      shownMs += passed
      active = true
    }
    if (shownMs < 5000) return
    const body = new URLSearchParams({ csrf: document.querySelector("[name=csrf]").value, ms: Math.round(Math.min(shownMs, 15000)) })
    shownMs = 0
    const answer = await fetch(watched.dataset.watched, { method: "POST", body }).catch(() => null)
    if (answer?.status !== 200) return
    const told = control("exposure")
    told.textContent = await answer.text()
    told.hidden = false
    watched.pause()
    if (answer.headers.has("x-console-spent")) watched.dispatchEvent(new Event("spent"))
  }, 1000)
  watched.addEventListener("spent", () => player.remove())
}

const timeline = control("timeline")
const place = (at) => Math.max(0, Math.min(1000, (at * 1000 * 1000) / Number(timeline.dataset.span)))
function mark(end) {
  stretch[end] = video.currentTime
  if (end === "from" && !(stretch.to > stretch.from)) stretch.to = Math.min(stretch.from + 10, video.duration || stretch.from + 10)
  if (end === "to" && !(stretch.from < stretch.to)) stretch.from = Math.max(0, stretch.to - 10)
  let box = timeline?.querySelector(".stretch")
  if (timeline && !box) {
    box = document.createElementNS(timeline.namespaceURI, "rect")
    box.classList.add("stretch")
    box.setAttribute("y", "14")
    box.setAttribute("height", String(timeline.viewBox.baseVal.height - 18))
    timeline.prepend(box)
  }
  box?.setAttribute("x", String(place(stretch.from)))
  box?.setAttribute("width", String(Math.max(2, place(stretch.to) - place(stretch.from))))
}
if (video) {
  video.muted = document.body.hasAttribute("data-muted")
  control("show").addEventListener("click", () => { reveal(); control("play").focus() })
  control("play").addEventListener("click", toggle)
  control("back").addEventListener("click", () => seek(video.currentTime - FRAME_S))
  control("forward").addEventListener("click", () => seek(video.currentTime + FRAME_S))
  control("mute").addEventListener("click", () => {
    video.muted = !video.muted
    control("mute").setAttribute("aria-pressed", String(video.muted))
  })
  for (const each of document.querySelectorAll("[data-speed]")) each.addEventListener("click", () => setSpeed(each.dataset.speed))
  for (const event of ["play", "pause"]) video.addEventListener(event, () => control("play").setAttribute("aria-pressed", String(!video.paused)))
  const follow = () => {
    control("clock").textContent = video.currentTime.toFixed(2)
    if (timeline) for (const end of ["x1", "x2"]) control("now").setAttribute(end, String(place(video.currentTime)))
    if (!video.paused) { active = true; requestAnimationFrame(follow) }
  }
  for (const event of ["play", "seeked", "loadedmetadata"]) video.addEventListener(event, follow)
  timeline?.addEventListener("click", (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(timeline.getScreenCTM().inverse())
    seek((Math.max(0, Math.min(1000, at.x)) / 1000) * (Number(timeline.dataset.span) / 1000))
  })
}
