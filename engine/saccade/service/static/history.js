"use strict";
// Looks back: crops of what was seen before, and a picture that is held together with its results. Uses page.js.

const BACK_MS = 4000;
const UNIX = 1e9; // times below are seconds of a recording, not of the clock
let before = "", backTimer, asked = 0;

// ---- a picture and its results, held ----

async function hold() {
  try {
    const answer = await fetch("moment.json", { signal: AbortSignal.timeout(8000) });
    if (!answer.ok) return;
    const { moment, event } = await answer.json();
    const still = byId("still");
    still.src = `snapshot.jpg?moment=${moment}`;
    await still.decode();
    still.hidden = false;
    held = true;
    byId("snapshot").href = still.src;
    showLatest(event);
  } catch { return; } // the page says itself that saccade cannot be reached
  byId("hold").textContent = "Go on";
  byId("hold").setAttribute("aria-pressed", "true");
}

function release() {
  held = false;
  byId("still").hidden = true;
  byId("still").removeAttribute("src");
  byId("snapshot").href = "snapshot.jpg";
  byId("hold").textContent = "Hold";
  byId("hold").setAttribute("aria-pressed", "false");
  poll();
}

byId("hold").addEventListener("click", () => { if (held) release(); else hold(); });

// ---- what was seen before ----

function moment(seconds) {
  if (seconds < UNIX) return `at ${duration(seconds)}`;
  const then = new Date(1000 * seconds), clock = then.toLocaleTimeString("en-GB");
  return then.toDateString() === new Date().toDateString() ? clock
    : `${then.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${clock}`;
}

function sighting(one) {
  const link = element("a");
  link.href = `crops/${encodeURIComponent(one.name)}`;
  link.target = "_blank";
  link.dataset.name = one.name;
  const image = element("img");
  image.src = link.href;
  image.loading = "lazy";
  image.alt = one.label || "crop";
  link.title = `${one.label || "crop"} #${one.track}, crop ${one.index}`;
  link.append(image, element("span", [element("b", one.label || `#${one.track}`),
    ...(one.score === null ? [] : [element("i", percent(one.score))]), element("time", moment(one.time))]));
  return link;
}

function offer(labels) {
  const select = byId("back-label"), present = [...select.options].slice(1).map((option) => option.value);
  const wanted = [...new Set([...present, ...labels])].sort();
  if (wanted.length === present.length) return;
  const chosen = select.value;
  select.replaceChildren(select.options[0], ...wanted.map((label) => new Option(label, label)));
  select.value = chosen;
}

function showBack(found) {
  byId("back-filter").hidden = !found.kept;
  offer(found.labels);
  const old = new Map([...byId("back").querySelectorAll("a")].map((link) => [link.dataset.name, link]));
  const links = found.events.map((one) => old.get(one.name) ?? sighting(one));
  const words = found.kept ? "nothing that fits" : "This run keeps no crops; with --out FOLDER they are shown here.";
  byId("back").replaceChildren(...(links.length ? links : [element("p", words, "none")]));
  byId("back-older").hidden = !found.more;
  byId("back-newest").hidden = !before;
}

async function lookBack() {
  clearTimeout(backTimer);
  const turn = asked += 1;
  const wanted = { label: byId("back-label").value, within: byId("back-within").value, before, limit: innerWidth < 500 ? 12 : 24 };
  const query = new URLSearchParams(Object.entries(wanted).filter(([, value]) => value));
  try {
    const answer = await fetch(`history.json?${query}`, { signal: AbortSignal.timeout(8000) });
    if (answer.ok && turn === asked) showBack(await answer.json());
  } catch { /* the page says itself that saccade cannot be reached */ }
  if (!document.hidden && turn === asked) backTimer = setTimeout(lookBack, BACK_MS);
}

function turnTo(name) {
  before = name;
  lookBack();
}

byId("back-filter").addEventListener("submit", (event) => event.preventDefault());
byId("back-filter").addEventListener("change", () => turnTo(""));
byId("back-newest").addEventListener("click", () => turnTo(""));
byId("back-older").addEventListener("click", () => turnTo(byId("back").lastElementChild.dataset.name));
document.addEventListener("visibilitychange", () => { if (!document.hidden) lookBack(); });
lookBack();
