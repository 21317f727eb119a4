// The site's own banner as a mode of consent: Google Consent Mode in the data
// layer, a platform that we know, or the site's word by `miq("consent", …)`.

import { toGoogle } from "../google";
import type { ConsentUpdate, GoogleConsent, Kit, Mode } from "../types";
import { readUSP } from "../usp";
import { stateOf, weigh } from "../weigh";
import { readDataLayer } from "./datalayer";
import { platforms } from "./platforms";

function gcm(kit: Kit): Mode {
  const { config, signals, allowed } = kit;
  const { decide } = weigh(kit);
  const set = (said: ConsentUpdate) => decide(stateOf(said, kit));
  readUSP(signals, () => {});
  const heard = (gcm: GoogleConsent) => set({ gcm });
  const start = () => {
    readDataLayer(config.data_layer || "dataLayer", heard);
    for (const watch of platforms) watch(heard);
  };
  return { start, set, reread() {}, told: () => ({ gcm: signals.gcm || toGoogle(allowed()) }) };
}

(window.miqParts = window.miqParts || {}).gcm = gcm;
