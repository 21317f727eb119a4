// Our own small banner, loaded only where somebody is asked. It lives in a closed
// shadow root with a constructed style sheet: the page's CSS cannot reach in, and
// a policy without 'unsafe-inline' has nothing to object to.

import css from "./banner.css";
import type { BannerOptions, ShowBanner } from "./lazy";
import type { BannerTexts, State } from "./types";

const english: Required<BannerTexts> = {
  title: "Your privacy, your choice",
  body: "With your consent we use cookies to measure visits and to show you relevant advertising. You can change your mind at any time.",
  accept: "Accept all",
  refuse: "Refuse all",
  partial: "Analytics only",
  privacy: "Privacy policy",
  close: "Close without changes",
};

/** The site's own words in the visitor's language, else in English, else ours. */
function words(texts: BannerOptions["texts"] = {}): Required<BannerTexts> {
  const language = navigator.language.toLowerCase();
  return { ...english, ...(texts[language] || texts[language.split("-")[0]] || texts.en) };
}

function element<K extends keyof HTMLElementTagNameMap>(name: K, attributes: Record<string, string>, ...inside: (Node | string)[]) {
  const made = document.createElement(name);
  for (const key of Object.keys(attributes)) made.setAttribute(key, attributes[key]);
  made.append(...inside);
  return made;
}

function dress(root: ShadowRoot): void {
  try {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    root.adoptedStyleSheets = [sheet];
  } catch {
    root.append(element("style", {}, css)); // browsers before 2023
  }
}

const show: ShowBanner = ({ current, privacyURL, texts, choose }) => {
  const text = words(texts);
  const host = document.createElement("miq-consent");
  const root = host.attachShadow({ mode: "closed" });
  const before = document.activeElement as HTMLElement | null;

  const close = () => {
    host.remove();
    if (current) before?.focus?.();
  };
  const answer = (state?: State) => {
    close();
    choose(state);
  };
  const button = (kind: string, label: string, state: State) => {
    const made = element("button", { type: "button", class: kind }, label);
    if (current) made.setAttribute("aria-pressed", "" + (current == state));
    made.onclick = () => answer(state);
    return made;
  };

  const body = element("p", { id: "body" }, text.body);
  // A script address in the settings must not become a link that runs.
  if (privacyURL && /^(https?:|\/)/i.test(privacyURL)) {
    body.append(" ", element("a", { href: privacyURL, target: "_blank", rel: "noopener" }, text.privacy));
  }
  const card = element(
    "section",
    { role: "dialog", "aria-labelledby": "title", "aria-describedby": "body", tabindex: "-1" },
    element("h2", { id: "title" }, text.title),
    body,
    element(
      "div",
      {},
      // Same size, same colours: refusing is as easy as accepting.
      button("main", text.refuse, "none"),
      button("main", text.accept, "full"),
      button("quiet", text.partial, "partial"),
    ),
  );
  if (current) {
    // Only who has chosen before may leave without choosing.
    const cross = element("button", { type: "button", class: "close", "aria-label": text.close }, "×");
    cross.onclick = () => answer();
    card.append(cross);
    card.onkeydown = (event) => event.key == "Escape" && answer();
  }

  dress(root);
  root.append(card);
  // First in the page, so that the keyboard reaches it first.
  document.body.prepend(host);
  // Nobody is torn out of a field they are typing in.
  if (current || !before || before == document.body) card.focus({ preventScroll: true });
  return close;
};

window.miqBanner = show;
