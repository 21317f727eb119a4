// What the visitor sees: a card with the question, its settings, and the button
// that brings it back. It lives in a shadow root with a constructed style sheet:
// the page's CSS cannot reach in, and a policy without 'unsafe-inline' has
// nothing to object to.

import type { BannerTexts, State } from "../types";
import css from "./banner.css";

type Words = Required<BannerTexts>;

export interface Card {
  close(): void;
  focus(): void;
}

export interface Question {
  words: Words;
  /** The language of the words. */
  code: string;
  /** What was chosen before; undefined the first time. */
  current?: State;
  privacyURL?: string;
  /** Without a state the visitor left it as it was. */
  choose(state?: State): void;
}

function element<K extends keyof HTMLElementTagNameMap>(name: K, attributes: Record<string, string>, ...inside: (Node | string)[]) {
  const made = document.createElement(name);
  for (const key of Object.keys(attributes)) made.setAttribute(key, attributes[key]);
  made.append(...inside);
  return made;
}

/** An element of ours in the page that nothing of the page's reaches into. */
function island(name: string, code: string, ...inside: Node[]): HTMLElement {
  const host = element(name as "div", { lang: code });
  const root = host.attachShadow({ mode: "open" });
  try {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    root.adoptedStyleSheets = [sheet];
  } catch {
    root.append(element("style", {}, css)); // browsers before 2023
  }
  root.append(...inside);
  // First in the page, so that the keyboard reaches it first.
  document.body.prepend(host);
  return host;
}

function button(kind: string, label: string, act: () => void) {
  const made = element("button", { type: "button", class: kind }, label);
  made.onclick = act;
  return made;
}

export function card({ words, code, current, privacyURL, choose }: Question): Card {
  const before = document.activeElement as HTMLElement | null;
  let host: HTMLElement;

  const about = element("p", { id: "about" }, words.body);
  // A script address in the settings must not become a link that runs.
  if (privacyURL && /^(https?:|\/)/i.test(privacyURL)) {
    about.append(" ", element("a", { href: privacyURL, target: "_blank", rel: "noopener" }, words.privacy));
  }

  const box = (id: string, label: string, text: string, on: boolean) => {
    const input = element("input", { type: "checkbox", id, "aria-describedby": id + "-about" });
    input.checked = on;
    const row = element("div", { class: "row" }, element("label", { for: id }, label), input, element("p", { id: id + "-about" }, text));
    return { input, row };
  };
  const analytics = box("analytics", words.analytics, words.analytics_about, current == "partial" || current == "full");
  const advertising = box("advertising", words.advertising, words.advertising_about, current == "full");
  // Advertising is not measured without counting visits.
  advertising.input.onchange = () => advertising.input.checked && (analytics.input.checked = true);
  analytics.input.onchange = () => analytics.input.checked || (advertising.input.checked = false);
  const necessary = element(
    "div",
    { class: "row" },
    element("strong", {}, words.necessary),
    element("span", { class: "always" }, words.always),
    element("p", {}, words.necessary_about),
  );

  // Same size, same colours: refusing is as easy as accepting.
  const both = () => [button("main", words.refuse, () => choose("none")), button("main", words.accept, () => choose("full"))];
  const save = button("quiet", words.save, () => choose(advertising.input.checked ? "full" : analytics.input.checked ? "partial" : "none"));
  const settings = button("quiet", words.settings, () => turn(true));
  const back = button("link", words.back, () => turn(false));
  const first = element("div", { class: "actions" }, ...both(), settings);
  const second = element("div", {}, necessary, analytics.row, advertising.row, element("div", { class: "actions" }, ...both(), save, back));
  const turn = (open: boolean) => {
    first.hidden = open;
    second.hidden = !open;
    (open ? analytics.input : settings).focus();
  };
  second.hidden = true;

  const section = element(
    "section",
    { role: "dialog", "aria-labelledby": "title", "aria-describedby": "about", tabindex: "-1" },
    element("h2", { id: "title" }, words.title),
    about,
    first,
    second,
  );
  if (current) {
    // Only who has chosen before may leave without choosing.
    const cross = button("close", "×", () => choose());
    cross.setAttribute("aria-label", words.close);
    section.append(cross);
    // What was chosen is what they come to see.
    first.hidden = true;
    second.hidden = false;
    section.onkeydown = (event) => event.key == "Escape" && choose();
  }

  host = island("miq-consent", code, section);
  const focus = () => section.focus({ preventScroll: true });
  // Nobody is torn out of a field they are typing in.
  if (current || !before || before == document.body) focus();
  return {
    focus,
    close() {
      host.remove();
      if (current) before?.focus?.();
    },
  };
}

/** The small button that brings the question back. */
export function reopener(words: Words, code: string, open: () => void): HTMLElement {
  return island("miq-privacy", code, button("reopen", words.reopen, open));
}
