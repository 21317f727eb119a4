// Everything that arrived is put in with textContent: it may be hostile.
"use strict";

const by = (id) => document.getElementById(id);
const shown = 200;
let since = 0;
let paused = false;
let partners = "";
const titles = new Map();

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

function plural(n, one, many) {
  return n + " " + (n === 1 ? one : many);
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function row(e) {
  const li = by("row").content.firstElementChild.cloneNode(true);
  const status = li.querySelector(".status");
  const good = e.status >= 200 && e.status < 300;
  status.textContent = (e.status || "cut") + (e.fault ? " fault" : "");
  status.classList.add(e.fault ? "warn" : good ? "good" : "bad");
  li.querySelector(".who").textContent = titles.get(e.partner) || e.partner;
  const what = [];
  if (e.order_ids) what.push((e.order_ids.length === 1 ? "order " : "orders ") + e.order_ids.slice(0, 5).join(", ") + (e.order_ids.length > 5 ? " …" : ""));
  if (e.event_ids) what.push(plural(e.event_ids.length, "event", "events"));
  if (e.duplicates) what.push(plural(e.duplicates.length, "repeat", "repeats"));
  what.push(e.path);
  li.querySelector(".what").textContent = what.join(" · ");
  const time = li.querySelector("time");
  time.dateTime = e.at;
  time.textContent = clock.format(new Date(e.at));
  // Filled when opened: a long list of long bodies is slow.
  li.querySelector("details").addEventListener("toggle", () => {
    li.querySelector(".body").textContent = JSON.stringify(e.body, null, 2);
    li.querySelector(".answer").textContent = pretty(e.answer) || "(empty)";
  }, { once: true });
  return li;
}

function faultsOf(p) {
  const on = [];
  if (p.slow_ms) on.push("slow");
  if (p.fail) on.push("failing");
  if (p.limit) on.push("429");
  if (p.drop || p.drop_after) on.push("cutting");
  if (p.truncate) on.push("truncating");
  if (p.refuse_grant) on.push("no grant");
  return on;
}

function card(p) {
  const c = by("card").content.firstElementChild.cloneNode(true);
  c.dataset.partner = p.partner;
  c.querySelector("h3").textContent = p.title;
  c.querySelector(".path").textContent = "/" + p.partner + "/…";
  for (const el of c.querySelectorAll(".tokens")) el.hidden = !p.tokens;
  const said = c.querySelector(".said");
  async function send(more) {
    const body = { partner: p.partner, ...more };
    const r = await fetch("control", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    const answer = await r.json();
    said.textContent = r.ok ? "Done, from the next request on." : answer.detail;
    if (r.ok) for (const s of answer.partners) refresh(s, s.partner === p.partner);
  }
  const inputs = [...c.querySelectorAll("[data-name]")];
  const values = () => Object.fromEntries(inputs.map((i) => [i.dataset.name, i.type === "checkbox" ? i.checked : Number(i.value) || 0]));
  const act = { set: () => send(values()), reset: () => send({}), revoke: () => send({ ...values(), revoke_token: true }) };
  for (const b of c.querySelectorAll("[data-do]")) {
    b.addEventListener("click", () => act[b.dataset.do]().catch(() => { said.textContent = "The sandbox does not answer."; }));
  }
  by("partners").append(c);
  const option = document.createElement("option");
  option.value = p.partner;
  option.textContent = p.title;
  by("filter").append(option);
  refresh(p, true);
}

function refresh(p, inputs) {
  const c = document.querySelector(`[data-partner="${CSS.escape(p.partner)}"]`);
  const on = faultsOf(p);
  c.querySelector(".on").textContent = on.length ? "on: " + on.join(", ") : "";
  const figures = [plural(p.requests, "request", "requests"), plural(p.taken, "event", "events") + " taken"];
  if (p.repeats) figures.push(plural(p.repeats, "repeat", "repeats"));
  c.querySelector(".figures").textContent = p.requests ? figures.join(", ") : "No request yet";
  if (inputs) {
    for (const i of c.querySelectorAll("[data-name]")) {
      if (i.type === "checkbox") i.checked = p[i.dataset.name];
      else i.value = p[i.dataset.name] || "";
    }
  }
}

function show(data) {
  const names = data.partners.map((p) => p.partner).join();
  if (names !== partners) {
    partners = names;
    by("partners").replaceChildren();
    for (const p of data.partners) {
      titles.set(p.partner, p.title);
      card(p);
    }
  }
  const want = by("filter").value;
  const fresh = [];
  for (const e of data.items) {
    const li = row(e);
    li.dataset.from = e.partner;
    li.hidden = want !== "" && e.partner !== want;
    fresh.push(li);
  }
  const list = by("list");
  list.prepend(...fresh);
  while (list.children.length > shown) list.lastElementChild.remove();
  for (const p of data.partners) refresh(p, false);
  since = data.last;
  empty();
}

function empty() {
  by("empty").hidden = [...by("list").children].some((li) => !li.hidden);
}

function say(text, state) {
  if (by("live").textContent !== text) by("live").textContent = text;
  by("dot").className = state;
}

async function poll() {
  if (!paused) {
    try {
      const r = await fetch("received.json?limit=1000&since=" + since, { cache: "no-store" });
      if (!r.ok) throw new Error(r.statusText);
      const data = await r.json();
      if (data.last < since) {
        // The sandbox was started anew.
        reset();
      } else {
        show(data);
      }
      say("Live", "good");
    } catch {
      say("The sandbox does not answer", "bad");
    }
  }
  setTimeout(poll, 1000);
}

function reset() {
  since = 0;
  by("list").replaceChildren();
}

by("pause").addEventListener("click", () => {
  paused = !paused;
  by("pause").setAttribute("aria-pressed", String(paused));
  by("pause").textContent = paused ? "Go on" : "Pause";
  say(paused ? "Paused" : "Live", paused ? "" : "good");
});
by("clear").addEventListener("click", async () => {
  await fetch("received.json", { method: "DELETE" });
  const last = since;
  reset();
  since = last;
  empty();
});
by("filter").addEventListener("change", () => {
  const want = by("filter").value;
  for (const li of by("list").children) li.hidden = want !== "" && li.dataset.from !== want;
  empty();
});
poll();
