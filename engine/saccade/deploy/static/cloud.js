"use strict";
const NAMES = ["HAPPY", "SAD", "ANGRY", "CONFUSED", "DISGUSTED", "SURPRISED", "CALM", "FEAR"];
const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);

function element(name, attributes, text) {
  const made = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function drawGraph(data) {
  const width = $("graph").clientWidth, height = $("graph").clientHeight;
  const LEFT = 52, RIGHT = width - 10, TOP = 8, BOTTOM = height - 26;
  $("graph").setAttribute("viewBox", `0 0 ${width} ${height}`);
  const x = (time) => LEFT + (RIGHT - LEFT) * (time - data.start) / (data.end - data.start);
  const y = (percent) => BOTTOM - (BOTTOM - TOP) * percent / 100;
  const parts = [];
  for (const percent of [0, 25, 50, 75, 100]) {
    parts.push(element("svg:line", { class: "grid", x1: LEFT, x2: RIGHT, y1: y(percent), y2: y(percent) }));
    parts.push(element("svg:text", { x: LEFT - 8, y: y(percent) + 4, "text-anchor": "end" }, `${percent} %`));
  }
  const labels = width < 520 ? 3 : 6; // a label is some 60 px wide
  const step = (data.end - data.start) / labels;
  for (let i = 0; i <= labels; i += 1) {
    const time = data.start + i * step;
    const label = new Date(time * 1000).toLocaleTimeString([], { hour12: false });
    parts.push(element("svg:text", { x: x(time), y: BOTTOM + 20, "text-anchor": ["start", "middle", "end"][(i > 0) + (i === labels)] }, label));
  }
  for (const name of NAMES) {
    const points = (data.emotions[name] || []).filter(([time]) => time >= data.start);
    if (!points.length) continue;
    const place = points.map(([time, value]) => [x(time), y(value)]);
    parts.push(element("svg:polyline", {
      class: name.toLowerCase(), "data-emotion": name, points: place.map((p) => p.map((v) => v.toFixed(1)).join(",")).join(" "),
    }));
    const [cx, cy] = place[place.length - 1];
    parts.push(element("svg:circle", { class: name.toLowerCase(), cx, cy, r: 4 }));
  }
  $("graph").replaceChildren(...parts);
}

function drawLegend(data) {
  $("legend").replaceChildren(...NAMES.map((name) => {
    const points = data.emotions[name] || [];
    const item = element("li", { class: name.toLowerCase() });
    const latest = points.length ? `${points[points.length - 1][1].toFixed(0)} %` : "–";
    item.append(element("i", {}), element("span", {}, name.toLowerCase()), element("b", {}, latest));
    return item;
  }));
}

function drawCrops(data) {
  if (!data.crops.length) return;
  const old = new Map([...$("crops").querySelectorAll("figure")].map((figure) => [figure.dataset.face, figure]));
  $("crops").replaceChildren(...data.crops.map((crop) => {
    const kept = old.get(crop.face);
    if (kept) return kept;
    const figure = element("figure", { "data-face": crop.face, class: crop.emotion.toLowerCase() });
    const caption = element("figcaption", {});
    caption.append(element("b", {}, crop.emotion.toLowerCase()), element("span", {}, `${crop.confidence.toFixed(0)} %`));
    figure.append(element("img", { src: crop.url, alt: `Face, ${crop.emotion.toLowerCase()}`, loading: "lazy" }), caption);
    return figure;
  }));
}

function show(data) {
  for (const [name, value] of Object.entries(data.counts)) if ($(name)) $(name).textContent = value.toLocaleString();
  $("source").textContent = data.source;
  $("facts").replaceChildren(...data.facts.map((fact) => element("li", {}, fact)));
  drawGraph(data);
  drawLegend(data);
  drawCrops(data);
}

async function refresh() {
  const state = $("state");
  try {
    const answer = await fetch("data.json", { cache: "no-store" });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const data = await answer.json();
    show(data);
    state.dataset.state = data.counts.faces ? "live" : "waiting";
    state.lastElementChild.textContent = data.counts.faces ? "live" : "waiting for the first face";
  } catch (error) {
    state.dataset.state = "gone";
    state.lastElementChild.textContent = "the local cloud has stopped";
  }
  setTimeout(refresh, 1000);
}
refresh();
