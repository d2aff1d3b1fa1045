"use strict";
// Shows the stream and, once a second, the figures. Everything is built with DOM calls: a label from a model is text,
// never markup.

const POLL_MS = 1000;
const KEEP = 90; // points of the small charts, one a second
const STAGES = ["decode", "preprocess", "infer", "postprocess", "output"];
const NINTHS = ["Up Left", "Up", "Up Right", "Left", "Middle", "Right", "Down Left", "Down", "Down Right"];

const byId = (id) => document.getElementById(id);
const stream = byId("stream"), view = byId("view"), notice = byId("notice");
const history = { rate: [], age: [], age99: [] };
let held = false; // the table is that of a picture which is held, see history.js
let frames = -1, moved = 0, reachable = true, ended = false, watched = 0, failures = 0;

function element(tag, content, className) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...[content ?? []].flat());
  return made;
}

const number = (value, digits = 0) => // + 0 makes a rounded -0 a 0
  Number.isFinite(value) ? (Number(value.toFixed(digits)) + 0).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }) : "–";
const fine = (value) => number(value, value < 10 ? 2 : value < 100 ? 1 : 0);
const percent = (value) => `${number(100 * value)}%`;

function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const whole = Math.floor(seconds), pad = (n) => String(n).padStart(2, "0");
  const clock = `${pad(Math.floor(whole / 60) % 60)}:${pad(whole % 60)}`;
  return whole < 3600 ? clock : `${Math.floor(whole / 3600)}:${clock}`;
}

// ---- the stream: asked for at the size it is shown at, and only while the page can be seen ----

function wantedHeight() {
  const pixels = view.clientHeight * Math.min(window.devicePixelRatio || 1, 2);
  return pixels > 620 ? 720 : 480;
}

function watch() {
  watched = wantedHeight();
  stream.src = `stream.mjpeg?height=${watched}&${Date.now()}`;
  stream.hidden = false;
}

function unwatch() {
  watched = 0;
  stream.hidden = true;
  stream.removeAttribute("src");
}

stream.addEventListener("error", () => {
  if (!watched) return;
  unwatch();
  failures += 1;
  setTimeout(() => { if (!watched && reachable && !ended && !document.hidden) watch(); }, Math.min(500 * 2 ** failures, 8000));
});
stream.addEventListener("load", () => { failures = 0; });
document.addEventListener("visibilitychange", () => {
  if (document.hidden) unwatch();
  else { watch(); poll(); }
});
let resized;
new ResizeObserver(() => {
  clearTimeout(resized);
  resized = setTimeout(() => { if (watched && wantedHeight() !== watched) watch(); }, 400);
}).observe(view);
byId("full").addEventListener("click", () => {
  if (document.fullscreenElement) document.exitFullscreen();
  else view.requestFullscreen();
});

// ---- what the page says of the stream ----

function say(state, word, headline = "", detail = "") {
  byId("state").dataset.state = state;
  byId("state").lastElementChild.textContent = word;
  notice.hidden = !headline;
  notice.firstElementChild.textContent = headline;
  notice.lastElementChild.textContent = detail;
  view.toggleAttribute("data-dim", Boolean(headline));
}

function lastSeen(figures) {
  if (!Number.isFinite(figures.last_picture)) return "";
  return `last picture at ${new Date(1000 * figures.last_picture).toLocaleTimeString("en-GB")}`;
}

function judge(figures) {
  const now = performance.now();
  if (figures.frames !== frames) { frames = figures.frames; moved = now; }
  const quiet = (now - moved) / 1000;
  const { state, reason } = figures;
  if (figures.ended) say("gone", "ended", "The stream has ended", reason || `${number(frames)} frames were shown the model`);
  else if (state === "paused") say("stalled", "paused", "The camera is paused", lastSeen(figures));
  else if (state === "held") say("stalled", "held", "An output takes no results", [reason, lastSeen(figures)].filter(Boolean).join(" · "));
  else if (state === "hung") say("gone", "hung", "The camera hung and is opened anew", [reason, lastSeen(figures)].filter(Boolean).join(" · "));
  else if (state === "lost") say("gone", "lost", "The source is lost; saccade goes on trying", [reason, lastSeen(figures)].filter(Boolean).join(" · "));
  else if (!frames) say("waiting", "waiting", reason ? "Waiting for the source" : "Waiting for the first frame", reason || (figures.source ?? ""));
  else if (quiet > Math.max(3, 4 / (figures.fps || 1))) say("stalled", "no new frames", `No new frame for ${number(quiet)} s`, lastSeen(figures));
  else say("live", "live");
  return quiet;
}

// ---- the figures ----

function remember(name, value) {
  history[name].push(Number.isFinite(value) ? value : 0);
  if (history[name].length > KEEP) history[name].shift();
}

function draw(id, lines, top, unit) {
  const paths = [], span = Math.max(lines[0][0].length, 15) - 1;
  byId(id.replace("line", "scale")).replaceChildren(
    element("span", `0–${number(top, top < 10 ? 1 : 0)} ${unit}`), element("span", `last ${number(span * POLL_MS / 1000)} s`));
  for (const [values, className] of lines) {
    if (values.length < 2) continue;
    const steps = Math.max(values.length, 15) - 1; // the first minute stretches over the whole width
    const points = values.map((v, i) =>
      `${(240 * (steps + 1 - values.length + i) / steps).toFixed(1)},${(42 - 40 * Math.min(v / top, 1)).toFixed(1)}`);
    const first = points[0].split(",")[0];
    if (className === "fill") paths.push([`M${first},44L${points.join("L")}L240,44Z`, "fill"]);
    else paths.push([`M${points.join("L")}`, className]);
  }
  byId(id).replaceChildren(...paths.map(([d, className]) => {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", d);
    path.setAttribute("class", className);
    return path;
  }));
}

function showFacts(figures) {
  const facts = [["camera", figures.several && figures.camera], ["app", figures.app], ["model", figures.model], ["device", figures.device],
    ["precision", figures.precision], ["source", figures.source]];
  byId("facts").replaceChildren(...facts.filter(([, value]) => value).map(([name, value]) => {
    const item = element("li", [`${name} `, element("b", String(value))]);
    item.title = String(value);
    return item;
  }));
}

function showStages(stages) {
  const rows = Object.entries(stages ?? {}).sort(([a], [b]) => STAGES.indexOf(a) - STAGES.indexOf(b));
  const longest = Math.max(...rows.map(([, t]) => t.p99_ms), 0.001);
  if (rows.length) byId("stages-scale").textContent = `ms, median and p99; bars to ${fine(longest)}`;
  byId("stages").replaceChildren(...rows.flatMap(([name, t]) => {
    const far = element("i", [], "far"), near = element("i");
    far.style.width = `${100 * t.p99_ms / longest}%`;
    near.style.width = `${100 * t.p50_ms / longest}%`;
    return [element("span", name), element("div", [far, near], `track ${STAGES.includes(name) ? name : ""}`),
      element("b", [fine(t.p50_ms), element("small", fine(t.p99_ms))])];
  }));
}

function bar(share) {
  const fill = element("i");
  fill.style.width = `${100 * Math.max(0, Math.min(1, share))}%`;
  return element("div", fill, "track infer");
}

function table(heads, rows) {
  const head = element("tr", heads.map(([text, className]) => element("th", text, className)));
  return element("table", [element("thead", head), element("tbody", rows.map((cells) => element("tr", cells)))]);
}

function showDetections(detections, most = 6) {
  if (!detections.length) return element("p", "no object in this frame", "none");
  return table([["label"], ["probability", "number"], [""], ["left, top", "number place"], ["size, px", "number"]],
    detections.slice(0, most).map((d) => [element("td", d.track === undefined ? d.label : `#${d.track} ${d.label}`), element("td", percent(d.prob), "number"),
      element("td", bar(d.prob), "bar"), element("td", `${number(d.xmin)}, ${number(d.ymin)}`, "number place"),
      element("td", `${number(d.xmax - d.xmin)} × ${number(d.ymax - d.ymin)}`, "number")]));
}

function showShares(head, column, entries, most = 5) {
  return table([[head], [column, "number"], [""]], entries.slice(0, most).map((entry) => {
    const share = entry.prob ?? entry.share;
    return [element("td", entry.label), element("td", percent(share), "number"), element("td", bar(share), "bar")];
  }));
}

function showPose(pose) {
  const grid = element("div", NINTHS.map((name) => {
    const share = pose.probabilities?.[name] ?? 0;
    const cell = element("span", [name, element("br"), percent(share)],
      `${name === pose.direction ? "best" : ""} ${share > 0.5 ? "sure" : ""}`);
    cell.style.setProperty("--share", `${100 * share}%`);
    return cell;
  }), "ninths");
  const angles = ["yaw", "pitch", "roll"].filter((name) => pose[name] !== null && pose[name] !== undefined);
  const words = element("div", [element("small", "looking"), element("strong", pose.direction),
    element("dl", angles.map((name) => element("div", [element("dt", name), element("dd", `${number(pose[name])}°`)])), "angles")]);
  return element("div", [grid, words], "pose");
}

function showLatest(event) {
  const parts = [];
  if (event?.pose) parts.push(showPose(event.pose));
  if (event?.detections) parts.push(showDetections(event.detections, event.pose ? 3 : 6));
  const heads = Object.entries(event?.heads ?? {});
  if (heads.length > 1) parts.push(...heads.map(([name, classes]) => showShares(name, "probability", classes, 3)));
  else if (event?.classes?.length) parts.push(showShares("class", "probability", event.classes));
  if (event?.segmentation) parts.push(showShares("class", "part", event.segmentation, 8));
  byId("latest").replaceChildren(...(parts.length ? parts : [element("p", "nothing yet", "none")]));
  const found = event?.detections?.length;
  const what = event?.pose ? "Head pose" : event?.classes ? "Classes" : event?.segmentation ? "Segments" : found ? `Detections: ${number(found)}` : "Latest result";
  byId("latest-title").replaceChildren(what, ...(Number.isFinite(event?.frame) ? [element("small", `frame ${number(event.frame)}`)] : []));
}

function count(id, value, warns = false) {
  byId(id).textContent = number(value ?? 0);
  byId(id).classList.toggle("warn", warns && value > 0);
}

function show(figures) {
  byId("all").hidden = !figures.several;
  const quiet = judge(figures), rate = quiet > 3 ? 0 : figures.fps, age = figures.age_ms ?? {};
  byId("rate").textContent = number(rate, rate < 100 ? 1 : 0);
  byId("age").textContent = fine(age.p50);
  byId("age99").textContent = fine(age.p99);
  remember("rate", rate);
  remember("age", age.p50);
  remember("age99", age.p99);
  draw("rate-line", [[history.rate, "fill"], [history.rate, ""]], 1.15 * Math.max(...history.rate, 1), "frames/s");
  draw("age-line", [[history.age99, "second"], [history.age, "fill"], [history.age, ""]],
    1.15 * Math.max(...history.age99, ...history.age, 1), "ms");
  showFacts(figures);
  showStages(figures.stages);
  if (!held) showLatest(figures.latest);
  count("frames", figures.frames);
  count("dropped", figures.dropped);
  count("damaged", figures.damaged, true);
  count("reconnects", figures.reconnects, true);
  count("viewers", figures.display?.viewers);
  byId("seconds").textContent = duration(figures.seconds);
  document.title = `${figures.several ? `${figures.camera} · ` : ""}${number(rate, 1)} fps · saccade`;
}

let timer;
async function poll() {
  clearTimeout(timer);
  try {
    const answer = await fetch("statistics.json", { signal: AbortSignal.timeout(8000) });
    if (!answer.ok) throw new Error(answer.status);
    const figures = await answer.json();
    ended = Boolean(figures.ended);
    show(figures);
    if ((!reachable || !watched) && !ended && !document.hidden && !failures) watch();
    reachable = true;
  } catch (error) {
    reachable = false;
    failures = 0;
    unwatch();
    if (error.message === "401")
      say("gone", "locked", "This page needs a new token", "Open the whole address that saccade printed when it started.");
    else say("gone", "not reachable", "saccade has ended or cannot be reached", "This page goes on when it is back.");
    document.title = "offline · saccade";
  }
  if (!document.hidden) timer = setTimeout(poll, POLL_MS);
}
poll();
