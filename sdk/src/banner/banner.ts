// Our own banner, as a mode of consent: asks where nothing is remembered, and
// leaves a button behind to ask again. Loaded only on pages that use it.

import { stricter } from "../consent";
import { toGoogle } from "../google";
import type { Kit, Mode, State } from "../types";
import { readUSP } from "../usp";
import { weigh } from "../weigh";
import { remember, remembered } from "./choice";
import { type Card, card, reopener } from "./view";
import { choose as speak } from "./words";

function banner(kit: Kit): Mode {
  const { config, signals, tell, allowed } = kit;
  const { decide, cap } = weigh(kit);
  readUSP(signals, () => {});
  const { texts, language = "en", privacy_url, hide_reopen } = config.banner || {};
  // The page's own language before the browser's: a notice belongs to its page.
  const { code, words } = speak([document.documentElement.lang, ...navigator.languages, language].filter(Boolean), texts);
  let shown: Card | undefined;
  let button: HTMLElement | undefined;

  const done = () => {
    shown?.close();
    shown = undefined;
    if (!hide_reopen && !button) button = reopener(words, code, open);
  };
  const set = (state: State) => {
    done();
    decide(state);
    // After the decision, since a purge removes what was remembered before.
    remember(state);
  };
  const open = () => {
    if (shown) return shown.focus();
    const before = remembered();
    tell("shown");
    button?.remove();
    button = undefined;
    shown = card({ words, code, current: before, privacyURL: privacy_url, choose: (state) => (state ? set(state) : (done(), decide(before || allowed()))) });
  };
  const reread = () => {
    const state = remembered();
    // A tab that knows of no choice was told of a withdrawal, or asks for itself.
    if (state || allowed() != "none") {
      done();
      decide(state || "none");
    }
  };

  return {
    start() {
      if (remembered()) reread();
      else open();
    },
    set: (said) => ("gcm" in said ? cap(said) : set(stricter(said.state, "full"))),
    told: () => ({ gcm: toGoogle(allowed()) }),
    reread,
    reopen: open,
  };
}

(window.miqParts = window.miqParts || {}).banner = banner;
