// What some sites ask for besides: autotrack, e-commerce out of a data layer, and
// visitors who are known again on the site's other domains.

import { autotrack } from "./autotrack";
import { commerce } from "./commerce";
import { load } from "./part";
import type { Kit } from "./types";

const self = document.currentScript as HTMLScriptElement;

(window.miqParts = window.miqParts || {}).extras = (kit: Kit) => {
  if (kit.config.autotrack?.[0]) autotrack(kit);
  if (kit.config.ecommerce) commerce(kit);
  // Few need it, so that it is a part of its own.
  if (kit.config.crosses) load(self.src.split("/sdk/")[0], self.nonce, "cross", kit);
};
