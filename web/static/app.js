// What the console does in the browser. Pages work without it; with it they
// stay fresh, draw charts and follow the keyboard. Whatever comes from events is
// put in as text, never as HTML.
(() => {
  "use strict";
  const all = (sel, root = document) => [...root.querySelectorAll(sel)];
  const one = (sel, root = document) => root.querySelector(sel);

  // Times: the server writes UTC; here they become local, and ages grow.
  const short = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const full = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "long" });
  const age = (s) => s < 1 ? "just now" : s < 60 ? `${Math.floor(s)} s ago` : s < 3600 ? `${Math.floor(s / 60)} min ago`
    : s < 36000 && Math.floor(s / 60) % 60 ? `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min ago`
    : s < 172800 ? `${Math.floor(s / 3600)} h ago` : `${Math.floor(s / 86400)} days ago`;
  // The browser's clock may be wrong; ages count from what the server said.
  const ageNodes = new WeakMap();
  const times = (root) => {
    for (const t of all("time[datetime]", root)) {
      const d = new Date(t.dateTime);
      if (isNaN(d) || d.getFullYear() < 1971) continue;
      if ("local" in t.dataset) t.textContent = short.format(d);
      if ("clock" in t.dataset) t.textContent = clock.format(d);
      t.title = full.format(d);
    }
  };
  setInterval(() => {
    for (const t of all("time[data-ago]")) {
      const d = new Date(t.dateTime);
      if (isNaN(d) || d.getFullYear() < 1971 || !ageNodes.has(t)) { ageNodes.set(t, true); continue; }
      t.textContent = age(Math.max(0, (Date.now() - d) / 1000));
    }
  }, 1000);

  // Theme: at once, without loading the page again.
  for (const form of all("[data-themes]")) {
    form.addEventListener("submit", (e) => {
      const value = e.submitter && e.submitter.value;
      if (!value) return;
      e.preventDefault();
      document.documentElement.dataset.theme = value;
      document.cookie = `pixel_theme=${value}; path=/; max-age=31536000; samesite=lax${location.protocol === "https:" ? "; secure" : ""}`;
      for (const b of all("[data-themes] button")) b.toggleAttribute("aria-pressed", false), b.value === value && b.setAttribute("aria-pressed", "true");
      redraw();
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());

  // Small things.
  document.addEventListener("click", (e) => {
    const dismiss = e.target.closest("[data-dismiss]");
    if (dismiss) { dismiss.parentElement.remove(); document.getElementById("main").focus(); }
    if (e.target.closest("[data-print]")) window.print();
    const copy = e.target.closest("[data-copy]");
    if (copy) {
      const text = document.getElementById(copy.dataset.copy).textContent;
      const said = one("span", copy), was = said && said.textContent;
      navigator.clipboard.writeText(text).then(() => {
        if (said) { said.textContent = "Copied"; setTimeout(() => { said.textContent = was; }, 1600); }
        else { copy.title = "Copied"; }
      }, () => getSelection().selectAllChildren(document.getElementById(copy.dataset.copy)));
    }
    for (const open of all("details.confirm[open], details.menu[open]")) if (!open.contains(e.target)) open.open = false;
  });
  document.addEventListener("change", (e) => {
    const form = e.target.closest("[data-autosubmit]");
    if (form && e.target.matches("select, input[type=radio]")) form.requestSubmit();
    if (e.target.matches("[data-autosubmit-one]")) e.target.form.requestSubmit();
    if (e.target.matches("[data-all]")) for (const box of all("input[name=id]", e.target.form)) box.checked = e.target.checked;
  });

  // Forms that are checked while they are filled in: the server reads them as it would when
  // they are saved, and what it says of the fields that were touched is put beside them.
  for (const form of all("form[data-check]")) {
    const touched = new Set();
    let asked = 0;
    form.addEventListener("change", async (e) => {
      if (!e.target.id) return;
      touched.add(e.target.id);
      const n = ++asked, body = new URLSearchParams(new FormData(form));
      body.set("check", "1");
      const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "text/html" } }).catch(() => null);
      if (!answer || n !== asked || ![200, 422].includes(answer.status)) return;
      const there = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const id of touched) {
        const mine = document.getElementById(id)?.closest(".field"), theirs = there.getElementById(id)?.closest(".field");
        if (!mine || !theirs) continue;
        const error = one(".field-error", theirs), control = document.getElementById(id);
        one(".field-error", mine)?.remove();
        mine.classList.toggle("has-error", !!error);
        for (const tie of ["aria-invalid", "aria-describedby"]) {
          const is = there.getElementById(id).getAttribute(tie);
          if (is === null) control.removeAttribute(tie); else control.setAttribute(tie, is);
        }
        if (!error) continue;
        error.setAttribute("role", "status");
        mine.append(document.importNode(error, true));
      }
    });
  }
  // A form that asks for the same page otherwise leaves the focus where it was.
  document.addEventListener("submit", (e) => {
    const at = e.target.contains(document.activeElement) ? document.activeElement : e.submitter;
    if (e.target.method !== "get" || !at) return;
    const named = at.id ? "#" + CSS.escape(at.id) : `[name="${CSS.escape(at.name)}"]` + (at.type === "radio" ? `[value="${CSS.escape(at.value)}"]` : "");
    sessionStorage.setItem("focus", location.pathname + " " + named);
  });
  const [from, ...named] = (sessionStorage.getItem("focus") || "").split(" ");
  sessionStorage.removeItem("focus");
  if (from === location.pathname && document.activeElement === document.body) one(named.join(" "))?.focus({ preventScroll: true });
  // What was done is said where one is, also where the address leads further down.
  one(".notice")?.focus({ preventScroll: true });

  // Of tabs that are wider than the screen the current one is seen.
  for (const tab of all(".tabs [aria-current], nav.seg [aria-current]")) { const strip = tab.parentElement; strip.scrollLeft = tab.offsetLeft - strip.offsetLeft - (strip.clientWidth - tab.offsetWidth) / 2; }

  // Keyboard.
  let prefix = false;
  const go = { o: "/", l: "/live", e: "/events", r: "/reports", p: "/pixels", a: "/partners", q: "/queues" };
  document.addEventListener("keydown", (e) => {
    if (e.key === "Escape") {
      // What folds out is folded in again, and where it came from has the focus.
      const sheet = one("details.confirm[open], details.menu[open]");
      if (sheet) { sheet.open = false; one("summary", sheet).focus(); return; }
      // Out of the search, to the rows that it found.
      if (e.target.matches("[data-search]")) document.getElementById("main").focus();
    }
    if (e.metaKey || e.ctrlKey || e.altKey || e.target.closest("input, select, textarea, [contenteditable]")) return;
    if (prefix) {
      prefix = false;
      if (go[e.key]) { e.preventDefault(); location.assign(go[e.key]); }
      return;
    }
    const keys = document.getElementById("keys");
    if (e.key === "g") { prefix = true; setTimeout(() => { prefix = false; }, 1200); }
    else if (e.key === "/") {
      const box = one("[data-search]");
      e.preventDefault();
      box ? (box.focus(), box.select()) : location.assign("/events#q");
    } else if (e.key === "?" && keys) keys.showModal();
    else if (e.key === "j" || e.key === "k") {
      const rows = all("a[data-row]").filter((a) => a.offsetParent);
      const at = rows.indexOf(document.activeElement);
      const next = rows[Math.min(rows.length - 1, Math.max(0, at + (e.key === "j" ? 1 : -1)))];
      if (next) { next.focus(); next.scrollIntoView({ block: "nearest" }); }
    }
  });

  // Parts that refresh themselves must not pull away what somebody is reading, neither
  // when they ask nor when the answer comes. What was asked for by somebody goes on.
  const refreshes = (part) => (part.getAttribute("hx-trigger") || "").startsWith("every");
  const busy = (part) => refreshes(part) && (document.hidden || one("details[open]:not(.menu)", part) || part.contains(document.activeElement)
    || (!getSelection().isCollapsed && part.contains(getSelection().anchorNode)));
  document.addEventListener("htmx:beforeRequest", (e) => { if (busy(e.target)) e.preventDefault(); });
  document.addEventListener("htmx:beforeSwap", (e) => {
    if (busy(e.detail.requestConfig.elt)) e.detail.shouldSwap = false;
    // A form that was not taken says why, in the part that asked.
    else if (e.detail.xhr.status === 422) e.detail.shouldSwap = true;
  });
  document.addEventListener("htmx:afterSwap", (e) => {
    // The part that came is new; the event names the one that was.
    times(document);
    for (const f of all("[data-chart]")) if (!f.plotted) draw(f);
    ageNodes.delete(e.target);
  });

  // Charts are drawn from the table that stands below them.
  const charts = new Map();
  const color = (name) => getComputedStyle(probe(name)).color;
  const probe = (name) => {
    let p = document.getElementById("probe-" + name);
    if (!p) {
      p = document.createElement("i");
      p.id = "probe-" + name;
      p.hidden = true;
      p.style.color = `var(--${name})`;
      document.body.append(p);
    }
    return p;
  };
  function draw(figure) {
    if (typeof uPlot === "undefined") return;
    const table = one("table", figure), box = one(".plot", figure);
    if (!table || !box) return;
    figure.plotted = true;
    const heads = all("thead th", table).slice(1), rows = all("tbody tr", table);
    const number = (cell) => cell.dataset.v === "" ? null : Number(cell.dataset.v);
    const at = rows.map((r) => new Date(one("time", r).dateTime) / 1000);
    const columns = heads.map((_, i) => rows.map((r) => number(r.cells[i + 1])));
    const axis = { stroke: color("muted"), grid: { stroke: color("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const key = (i, text) => { const k = one(`[data-k="${i}"]`, figure); if (k) k.textContent = text; };
    const days = at.at(-1) - at[0] > 100000;
    const timeZone = figure.dataset.zone || undefined;
    const moment = timeZone ? new Intl.DateTimeFormat("en-GB", { ...short.resolvedOptions(), timeZone }) : short;
    const tick = new Intl.DateTimeFormat("en-GB", days ? { day: "numeric", month: "short", timeZone } : { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone });
    const percent = figure.dataset.unit === "percent";
    const little = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
    const scale = (n) => percent ? `${n.toLocaleString("en", { maximumFractionDigits: 2 })}%` : Math.abs(n) >= 10000 ? little.format(n) : n.toLocaleString("en");
    // The last step is not over yet: its line is dotted, lest it look like a fall.
    const last = at.length - 1, open = last > 0 && at[last] + (at[last] - at[last - 1]) > new Date(figure.dataset.until) / 1000;
    const colors = ["c1", "c2", "c3", "c4", "c6", "c7"];
    // Told apart without colour too; app.css has the same for the key.
    const dashes = [[], [9, 4], [2, 3], [10, 3, 2, 3], [5, 2], [14, 4, 2, 4, 2, 4]];
    const line = (values, more) => [values, { width: 2, points: { show: false }, spanGaps: true, ...more }];
    const groups = heads.filter((th) => !("was" in th.dataset)).length, drawn = [];
    for (let i = 0; i < groups; i++) {
      const stroke = color(colors[i % colors.length]);
      const whole = columns[i].map((v, n) => open && n === last ? null : v);
      drawn.push(line(whole, { stroke, dash: dashes[i % dashes.length], ...(groups === 1 ? { fill: color("c1-soft") } : {}) }));
      if (groups === 1) drawn.push(line(columns[i].map((v, n) => open && n >= last - 1 ? v : null), { stroke, dash: [2, 4] }));
    }
    // Beside one line stands that of the period before; of several, the table has it.
    if (groups === 1 && heads.length === 2) drawn.push(line(columns[1], { stroke: color("c5"), width: 1.3, dash: [5, 4] }));
    const build = () => new uPlot({
      width: box.clientWidth, height: box.clientHeight, padding: [8, 22, 0, 0],
      cursor: { y: false, points: { size: 7 } }, legend: { show: false },
      scales: { y: { range: (u, lo, hi) => [0, percent ? Math.min(100, Math.max(1, hi * 1.1)) : Math.max(4, hi * 1.1)] } },
      axes: [{ ...axis, grid: { show: false }, space: 80, size: 30, values: (u, v) => v.map((t) => tick.format(new Date(t * 1000))) },
        { ...axis, size: 48, space: 48, values: (u, v) => v.map((n) => percent || Number.isInteger(n) ? scale(n) : "") }],
      series: [{}, ...drawn.map((d) => d[1])],
      hooks: { setCursor: [(u) => {
        const i = u.cursor.idx;
        key(0, i == null ? "" : moment.format(new Date(at[i] * 1000)));
        heads.forEach((_, n) => key(n + 1, i == null ? "" : rows[i].cells[n + 1].textContent));
      }] },
    }, [at, ...drawn.map((d) => d[0])], box);
    box.replaceChildren();
    const plot = build();
    charts.get(figure)?.watch.disconnect();
    const watch = new ResizeObserver(() => plot.setSize({ width: box.clientWidth, height: box.clientHeight }));
    watch.observe(box);
    charts.set(figure, { watch });
  }
  function redraw() {
    for (const f of all("[data-chart]")) draw(f);
  }

  // Whether this browser reaches the collector: what a blocker hides is not seen from there.
  const reach = document.getElementById("reach");
  if (reach) {
    const said = one("p", reach), use = one("use", reach);
    const tell = (status) => {
      reach.className = status;
      said.textContent = said.dataset[status];
      use.setAttribute("href", use.getAttribute("href").replace(/#.*/, status === "ok" ? "#check" : "#alert"));
    };
    fetch(reach.dataset.reach + "/sdk.js", { mode: "no-cors", cache: "no-store", credentials: "omit" }).then(() => tell("ok"), () => tell("bad"));
  }

  // Live events.
  const live = document.getElementById("live");
  if (live) {
    const rows = document.getElementById("live-rows"), state = document.getElementById("live-state");
    const pause = document.getElementById("live-pause"), template = document.getElementById("live-row");
    const money = (v, cur) => {
      if (v === undefined || v === null) return "";
      try { return new Intl.NumberFormat("en-GB", { style: "currency", currency: cur }).format(v); } catch { return `${v} ${cur || ""}`; }
    };
    // A name is broken after what joins its words, and within one only where it is long.
    const soft = (name) => (String(name).match(/[^_.:\/-]{0,20}[_.:\/-]?/gu) || []).flatMap((part) => [part, document.createElement("wbr")]);
    const seen = new Set();
    let held = [], paused = false;
    const tell = (name, text) => { state.dataset.state = name; state.textContent = text; };
    const add = (ev) => {
      if (seen.has(ev.pixel_id + " " + ev.id)) return;
      seen.add(ev.pixel_id + " " + ev.id);
      const row = template.content.cloneNode(true);
      const put = (f, text) => { one(`[data-f=${f}]`, row).textContent = text; };
      put("time", clock.format(new Date(ev.received_at)));
      one("[data-f=name]", row).append(...soft(ev.name));
      one("[data-f=name]", row).href = `/events/${encodeURIComponent(ev.id)}?pixel_id=${encodeURIComponent(ev.pixel_id)}`;
      put("pixel", ev.pixel_id);
      put("path", ev.path || "");
      put("value", money(ev.value, ev.currency));
      put("consent", ev.consent);
      one("[data-f=consent]", row).classList.add({ full: "ok", partial: "warn" }[ev.consent] || "plain");
      one("[data-f=synced]", row).dataset.synced = ev.pixel_id + " " + ev.id;
      rows.prepend(row);
      while (rows.rows.length > 200) rows.lastElementChild.remove();
      document.getElementById("live-empty")?.remove();
    };
    const watching = () => paused ? tell("off", held.length ? `Paused, ${held.length} waiting` : "Paused") : tell("on", "Watching");
    const stream = new EventSource(live.dataset.stream);
    stream.onopen = watching;
    stream.onerror = () => tell("off", "Connection lost, trying again…");
    stream.onmessage = (m) => {
      const ev = JSON.parse(m.data);
      if (paused) { held.push(ev); if (held.length > 500) held.shift(); watching(); } else add(ev);
    };
    addEventListener("pagehide", () => stream.close());
    // What partners said follows seconds later; the rows that are shown are asked about.
    const marks = { accepted: ["ok", "✓"], unverified: ["plain", "✓?"], retry: ["warn", "↻"], rejected: ["bad", "✗"], not_sent: ["plain", "–"], dry: ["warn", "dry"] };
    const outcomes = async () => {
      const open = all("[data-synced]", rows);
      if (document.hidden || paused || !open.length) return;
      const answer = await fetch(live.dataset.syncs + "&since=10m", { headers: { Accept: "application/json" } }).catch(() => null);
      if (!answer || !answer.ok) return;
      const by = new Map();
      for (const s of (await answer.json()).items) {
        const key = s.pixel_id + " " + s.event_id, known = by.get(key) || new Map();
        if (!known.has(s.partner)) known.set(s.partner, s);
        by.set(key, known);
      }
      for (const cell of open) {
        const known = by.get(cell.dataset.synced);
        if (!known || cell.childElementCount === known.size && cell.dataset.last === [...known.values()].map((s) => s.outcome).join()) continue;
        cell.dataset.last = [...known.values()].map((s) => s.outcome).join();
        cell.replaceChildren(...[...known.values()].flatMap((s) => {
          const b = document.createElement("span"), [kind, sign] = marks[s.outcome] || ["plain", ""];
          b.className = "badge " + kind;
          b.textContent = sign + " " + s.partner;
          b.title = [s.outcome.replace("_", " "), s.message].filter(Boolean).join(": ");
          return [b, " "];
        }));
      }
    };
    outcomes();
    setInterval(outcomes, 3000);
    pause.hidden = false;
    pause.addEventListener("click", () => {
      paused = !paused;
      pause.setAttribute("aria-pressed", String(paused));
      one("span", pause).textContent = paused ? "Go on" : "Pause";
      const use = one("use", pause), href = use.getAttribute("href").replace(/#.*/, "");
      use.setAttribute("href", href + (paused ? "#play" : "#pause"));
      if (!paused) { held.forEach(add); held = []; }
      watching();
    });
  }

  times(document);
  redraw();
})();
