// The consent modes of a pixel: where each takes its decisions from. A mode
// tells what happened; the pixel caps it by opt-outs and by what the site said.

import { remember, remembered } from "./choice";
import { hasTCF, type Listener, readUSP, settle, watchTCF } from "./signals";
import type { Config, ConsentMode, InitOptions, Signals, State } from "./types";

export interface World {
  config: Config;
  options: InitOptions;
  signals: Signals;
  tell: Listener;
  /** Shows our banner; without a state the visitor closed it as it was. */
  ask(choose: (state?: State) => void): void;
  /** What may leave now. */
  allowed(): State;
}

export interface Mode {
  start(): void;
  /** The site called for a state itself. */
  set(state: State): void;
  /** Another tab, or the time that the page rested, may have changed the answer. */
  reread(): void;
  /** Asks the visitor again; missing where the banner is not ours. */
  reopen?(): void;
}

/** Ours: a banner, and its memory. */
function banner({ tell, ask, allowed }: World): Mode {
  const answer = (state: State) => settle(tell, state);
  const choose = (state: State) => {
    answer(state);
    // After the decision, since a purge removes what was remembered before.
    remember(state);
  };
  const open = () => {
    const before = allowed();
    tell("shown");
    ask((state) => (state ? choose(state) : answer(before)));
  };
  return {
    start() {
      const state = remembered();
      if (state) answer(state);
      else open();
    },
    set: choose,
    reread() {
      const state = remembered();
      if (state) answer(state);
      else if (allowed() != "none") answer("none");
    },
    reopen: open,
  };
}

/** The page's CMP: TCF where there is one, else the US privacy string. */
function cmp({ config, options, signals, tell }: World): Mode {
  const withoutTCF = () =>
    readUSP(signals, () => {
      // "1---" says that the law of the string does not apply: no answer at all.
      const applies = signals.us_privacy && signals.us_privacy != "1---";
      if (options.gdprApplies !== false && (options.gdprApplies || !applies)) return;
      settle(tell, "full");
    });
  let again = () => {};
  return {
    start() {
      if (options.gdprApplies === false && !hasTCF()) withoutTCF();
      again = watchTCF(signals, config.tcf_vendor_id, tell, withoutTCF);
    },
    set: () => again(),
    reread: () => again(),
  };
}

/** The site's own banner, through `miq("consent", …)`. */
function gcm({ tell }: World): Mode {
  return {
    start() {},
    set: (state) => settle(tell, state),
    reread() {},
  };
}

/** No opt-in law applies, says the site; opt-outs count all the same. */
function implied({ signals, tell }: World): Mode {
  const start = () => readUSP(signals, () => settle(tell, "full"));
  return { start, set: start, reread: start };
}

export const modes: Record<ConsentMode, (world: World) => Mode> = { banner, cmp, gcm, implied };
