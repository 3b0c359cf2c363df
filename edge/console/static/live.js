// Watches one live stream: fragmented MP4 from the gate, through Media Source Extensions. It shows the newest
// frame, and what came before it when it is asked to. It begins only when a person says so, and without audio.
const stage = document.getElementById("player")
const video = document.getElementById("live-video")
const said = document.getElementById("said")
const output = document.getElementById("behind")
const play = document.getElementById("play")
const newest = document.getElementById("newest")
const Source = globalThis.ManagedMediaSource ?? globalThis.MediaSource
const BEHIND_S = 0.4
const LATE_S = 1.2
const MOST_LATE_S = 2.5
const KEPT_S = 60
const AGAIN_MS = 1000

let begun = false
let over = false
let atNewest = true
let settled = false
let leave = new AbortController()

const tell = (key, values = {}) => {
  said.textContent = key ? stage.dataset[key].replace(/\{(\w+)\}/g, (_, name) => values[name]) : ""
}
const happens = (target, event) => new Promise((done) => target.addEventListener(event, done, { once: true }))
const edge = () => (video.buffered.length ? video.buffered.end(video.buffered.length - 1) : 0)

async function begin() {
  if (begun || !stage) return
  begun = true
  document.getElementById("warning").hidden = true
  play.focus()
  while (!over) {
    tell(video.readyState > 2 ? "" : "waiting")
    try {
      await watchOnce()
    } catch {
      if (!over) tell("lost")
    }
    if (!over) await new Promise((wake) => setTimeout(wake, AGAIN_MS))
  }
}

async function watchOnce() {
  leave = new AbortController()
  const answer = await fetch(stage.dataset.media, { signal: leave.signal, redirect: "error" })
  if (answer.status === 401) location.reload()
  if (answer.status === 204) {
    if (document.getElementById("over")) end()
    return
  }
  if (!answer.ok) return tell(answer.status === 503 ? "busy" : "lost")
  const type = answer.headers.get("content-type")
  if (!Source?.isTypeSupported(type)) {
    leave.abort()
    over = true
    return tell("cannot", { codec: /codecs="([^"]*)"/.exec(type)?.[1] ?? type })
  }
  await show(type, answer.body.getReader())
}

function end() {
  over = true
  leave.abort()
  tell("over")
}

async function show(type, reader) {
  const source = new Source()
  const url = URL.createObjectURL(source)
  video.src = url
  await happens(source, "sourceopen")
  URL.revokeObjectURL(url)
  const buffer = source.addSourceBuffer(type)
  atNewest = true
  settled = false
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    await append(source, buffer, value)
    if (video.readyState) follow()
  }
  if (source.readyState === "open") source.endOfStream()
}

async function append(source, buffer, data) {
  for (;;) {
    try {
      buffer.appendBuffer(data)
      break
    } catch (error) {
      if (error.name !== "QuotaExceededError") throw error
      await remove(buffer, video.buffered.start(0) + (edge() - video.buffered.start(0)) / 2)
    }
  }
  if (buffer.updating) await happens(buffer, "updateend")
  if (video.error || source.readyState !== "open") throw video.error ?? new Error("closed")
  if (video.buffered.length && edge() - video.buffered.start(0) > 1.5 * KEPT_S) await remove(buffer, edge() - KEPT_S)
}

async function remove(buffer, until) {
  buffer.remove(0, until)
  if (buffer.updating) await happens(buffer, "updateend")
}

// Goes to the newest frame, keeps close to it, and jumps over what was left out.
function follow() {
  if (!video.buffered.length) return
  const first = video.buffered.start(0)
  if (video.currentTime < first) video.currentTime = first
  if (!said.hidden && video.readyState > 2) tell("")
  if (!atNewest) return
  const late = edge() - video.currentTime
  // At first the last seconds come all at once, and only the newest frame is to be shown.
  if (late > (settled ? MOST_LATE_S : LATE_S) || (!video.seeking && !within(video.currentTime))) toNewest()
  else settled = true
  video.playbackRate = late > LATE_S ? 1.15 : 1
  if (video.paused && begun) video.play().catch(() => {})
}

function within(at) {
  for (let n = 0; n < video.buffered.length; n++) {
    if (at >= video.buffered.start(n) && at <= video.buffered.end(n)) return true
  }
  return false
}

function toNewest() {
  atNewest = true
  newest.setAttribute("aria-pressed", "true")
  const last = video.buffered.length - 1
  if (last >= 0) video.currentTime = Math.max(video.buffered.start(last), edge() - BEHIND_S)
  if (begun) video.play().catch(() => {})
}

function back() {
  if (!video.buffered.length) return
  atNewest = false
  newest.setAttribute("aria-pressed", "false")
  video.playbackRate = 1
  video.currentTime = Math.max(video.buffered.start(0), video.currentTime - 10)
  video.play().catch(() => {})
}

function toggle() {
  if (!begun) begin()
  else if (video.paused) video.play().catch(() => {})
  else {
    atNewest = false
    newest.setAttribute("aria-pressed", "false")
    video.pause()
  }
}

if (stage) {
  document.getElementById("show").addEventListener("click", begin)
  document.getElementById("back").addEventListener("click", back)
  play.addEventListener("click", toggle)
  newest.addEventListener("click", () => (begun ? toNewest() : begin()))
  for (const event of ["play", "pause"]) video.addEventListener(event, () => play.setAttribute("aria-pressed", String(!video.paused)))
  video.addEventListener("spent", end)
  // What was left out for a slow connection leaves a hole, where playing stops.
  video.addEventListener("waiting", () => {
    for (let n = 0; n < video.buffered.length; n++) {
      const start = video.buffered.start(n)
      if (start > video.currentTime && !within(video.currentTime + 0.1)) return void (video.currentTime = start)
    }
  })
  setInterval(() => {
    if (!begun || !video.buffered.length) return
    const late = Math.max(0, edge() - video.currentTime)
    output.textContent = stage.dataset.behind.replace("{seconds}", late.toFixed(1))
    if (over || !document.getElementById("over")) return
    end()
  }, 500)
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return
    if (document.querySelector("dialog[open]") || event.target.closest("input, select, textarea")) return
    if (event.code === "KeyB") back()
    else if (event.code === "KeyG") toNewest()
    else if (event.key === " " && !event.target.closest("button, a, summary")) toggle()
    else return
    event.preventDefault()
  })
}
