// The consent platform of the page, by the IAB's interfaces, as a mode of
// consent. The same for sites that vouch that no opt-in law applies: there the
// interfaces can only take away.

import type { Kit, Mode } from "../types";
import { readUSP } from "../usp";
import { weigh } from "../weigh";
import { fromFrames } from "./frames";
import { api, apis, watchIAB } from "./iab";

function cmp(kit: Kit): Mode {
  const { config, options, signals, tell } = kit;
  const { decide, cap } = weigh(kit);
  const implied = config.consent_mode == "implied";
  // Only where no platform answers. "1---" says that the law of the string does
  // not apply: no answer at all.
  const alone = () => {
    const applies = signals.us_privacy && signals.us_privacy != "1---";
    if (implied || options.gdprApplies === false || (options.gdprApplies === undefined && applies)) decide("full");
  };
  const without = () => readUSP(signals, alone, apis.__uspapi as never);
  let again = () => false;
  return {
    start() {
      if (parent != window) fromFrames(apis);
      readUSP(signals, () => {});
      if ((implied || options.gdprApplies === false) && !api("__tcfapi") && !api("__gpp")) without();
      again = watchIAB(signals, config.tcf_vendor_id, tell, decide, without);
    },
    set: cap,
    reread() {
      if (!again()) without();
    },
  };
}

(window.miqParts = window.miqParts || {}).cmp = cmp;
