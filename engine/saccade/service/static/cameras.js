"use strict";
// A grid of all cameras. Pictures are asked for one by one and only for tiles that can be seen, a few at a time: a
// browser has six connections to a server, and a stream would hold one for good. Names are text, never markup.

const AT_ONCE = 4, POLL_MS = 1000;
const WORDS = { up: ["live", "live"], connecting: ["waiting", "connecting"], lost: ["gone", "lost"], paused: ["stalled", "paused"],
  held: ["stalled", "held"], hung: ["gone", "hung"], failed: ["gone", "does not run"], ended: ["gone", "ended"] };
const HEADLINES = { connecting: "Waiting for the camera", lost: "The camera is lost; saccade goes on trying", paused: "Paused",
  held: "An output takes no results", hung: "The camera hung and is opened anew", failed: "This camera does not run", ended: "The stream has ended" };
const byId = (id) => document.getElementById(id);
const grid = byId("grid"), tiles = new Map(), seen = new Set();
let busy = 0, turn = 0;

const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) isIntersecting ? seen.add(target) : seen.delete(target);
  draw();
});

function element(tag, content = [], className = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...[content].flat());
  return made;
}

const fixed = (value, digits) => (Number.isFinite(value) ? value.toFixed(digits) : "–");

// ---- one camera ----

function tile(name) {
  const image = element("img"), headline = element("strong"), reason = element("span");
  const notice = element("div", [headline, reason], "notice"), shot = element("a", [image, notice], "shot");
  const word = element("span"), state = element("span", [element("i"), word], "state");
  const button = element("button", "Pause"), figures = element("small"), refused = element("small", [], "refused");
  const figure = element("figure", [shot, element("figcaption", [element("b", name), state, button, figures, refused])], "tile");
  image.alt = `Annotated picture of ${name}`;
  image.hidden = refused.hidden = true;
  button.type = "button";
  button.hidden = true;
  button.addEventListener("click", () => pause(figure));
  Object.assign(figure, { image, headline, reason, notice, shot, word, state, button, figures, refused, camera: name, asking: false });
  figure.dataset.camera = name;
  grid.append(figure);
  observer.observe(figure);
  return figure;
}

async function pause(figure) {
  figure.button.disabled = true;
  const problem = await change("PATCH", figure.camera, { paused: figure.dataset.state !== "paused" });
  figure.refused.textContent = problem;
  figure.refused.hidden = !problem;
  figure.button.disabled = false;
}

/** Ask for a change; what was refused, in words, or "". */
async function change(method, name, said) {
  try {
    const answer = await fetch(`api/cameras${name ? `/${encodeURIComponent(name)}` : ""}`, {
      method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(said) });
    return answer.ok ? "" : (await answer.text()).trim() || `refused (${answer.status})`;
  } catch {
    return "saccade cannot be reached";
  } finally {
    poll();
  }
}

function notServed(pictures = {}) {
  const others = Object.entries(pictures).filter(([reason, count]) => !["arrived", "served", "open"].includes(reason) && count);
  return others.sort((a, b) => b[1] - a[1]).map(([reason, count]) => `${count} ${reason}`).join(", ");
}

function showCamera(figure, camera, mayChange, why) {
  const [tone, word] = WORDS[camera.state] ?? ["waiting", camera.state], up = camera.state === "up";
  figure.dataset.state = camera.state;
  figure.toggleAttribute("data-away", !up);
  figure.state.dataset.state = tone;
  figure.word.textContent = up ? `${fixed(camera.fps ?? 0, 1)}${camera.rate ? ` of ${camera.rate}` : ""} fps` : word;
  figure.notice.hidden = up;
  figure.headline.textContent = HEADLINES[camera.state] ?? camera.state;
  figure.reason.textContent = camera.reason ?? "";
  const parts = [];
  if (up && camera.age_ms) parts.push(`${fixed(camera.age_ms.p50, 0)} ms old, p99 ${fixed(camera.age_ms.p99, 0)}`);
  if (notServed(camera.pictures)) parts.push(`not served: ${notServed(camera.pictures)}`);
  if (camera.restarts) parts.push(`opened anew ${camera.restarts} ×`);
  if (up && why && !["budget", "unknown"].includes(why.bound)) parts.push(why.why);
  figure.figures.textContent = parts.join(" · ");
  figure.button.textContent = camera.state === "paused" ? "Resume" : "Pause";
  figure.button.hidden = !mayChange || camera.state === "failed";
  if (camera.state === "failed") figure.shot.removeAttribute("href");
  else figure.shot.href = `camera/${encodeURIComponent(figure.camera)}/`;
}

// ---- pictures: of what can be seen, at the size it is seen at ----

async function picture(figure) {
  figure.asking = true;
  busy += 1;
  try {
    const height = Math.round(figure.shot.clientHeight * Math.min(window.devicePixelRatio || 1, 2));
    const answer = await fetch(`camera/${encodeURIComponent(figure.camera)}/picture.jpg?height=${height}`, { signal: AbortSignal.timeout(8000) });
    if (!answer.ok) throw new Error(answer.status);
    // A picture takes the place of the one before when it is whole: an <img> whose source changes is empty for a moment.
    const before = figure.image, next = Object.assign(element("img"), { alt: before.alt, src: URL.createObjectURL(await answer.blob()) });
    await next.decode().catch((problem) => { URL.revokeObjectURL(next.src); throw problem; });
    before.replaceWith(next);
    figure.image = next;
    if (before.src) URL.revokeObjectURL(before.src);
  } catch {
    await new Promise((done) => setTimeout(done, 1000));
  }
  busy -= 1;
  figure.asking = false;
  draw();
}

function draw() {
  const wanted = [...seen].filter((figure) => !figure.asking && figure.dataset.state === "up");
  const free = document.hidden ? 0 : Math.min(AT_ONCE - busy, wanted.length);
  for (let i = 0; i < free; i += 1) picture(wanted[(turn + i) % wanted.length]);
  turn += free;
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });

// ---- all of them ----

function fact(name, value) {
  return element("li", [`${name} `, element("b", value)]);
}

function say(state, word) {
  byId("state").dataset.state = state;
  byId("state").lastElementChild.textContent = word;
}

function show({ cameras, load, cores, why, apps, fps, may_change: mayChange }) {
  const all = Object.entries(cameras), up = all.filter(([, camera]) => camera.state === "up").length;
  for (const [name, figure] of tiles) if (!(name in cameras)) { observer.unobserve(figure); seen.delete(figure); figure.remove(); tiles.delete(name); }
  for (const [name, camera] of all) {
    if (!tiles.has(name)) tiles.set(name, tile(name));
    showCamera(tiles.get(name), camera, mayChange, why?.cameras?.[name]);
  }
  say(up === all.length && up ? "live" : up ? "stalled" : "gone", `${up} of ${all.length} live`);
  byId("facts").replaceChildren(fact("looks a second", fixed(fps, 1)),
    ...(load?.asked ? [fact(load.asked, `${Math.round(100 * load.need)} % of ${cores} cores${load.estimate ? ", estimated" : ""}`)] : []));
  byId("why").textContent = why && why.bound !== "unknown" ? `${why.why[0].toUpperCase()}${why.why.slice(1)}` : "";
  byId("why").hidden = !byId("why").textContent;
  const choice = byId("new").elements.app;
  if (choice.options.length === 1) choice.append(...(apps ?? []).map((app) => new Option(app, app)));
  byId("add").hidden = !mayChange;
  document.title = `${up} of ${all.length} · saccade`;
  draw();
}

byId("new").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target, table = Object.fromEntries([...new FormData(form)].filter(([, value]) => value.trim()));
  if ("rate" in table) table.rate = Number(table.rate);
  form.elements[form.elements.length - 1].disabled = true;
  const problem = await change("POST", "", table);
  form.elements[form.elements.length - 1].disabled = false;
  byId("refused").textContent = problem;
  byId("refused").hidden = !problem;
  if (problem) byId("refused").scrollIntoView({ block: "nearest" });
  else form.reset();
});

let timer;
async function poll() {
  clearTimeout(timer);
  try {
    const answer = await fetch("statistics.json", { signal: AbortSignal.timeout(8000) });
    if (!answer.ok) throw new Error(answer.status);
    show(await answer.json());
  } catch (error) {
    if (error.message === "401") say("gone", "locked: open the whole address that saccade printed");
    else say("gone", "not reachable");
  }
  if (!document.hidden) timer = setTimeout(poll, POLL_MS);
}
poll();
