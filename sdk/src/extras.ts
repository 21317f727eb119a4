// What some sites ask for besides: autotrack, and e-commerce out of a data layer.

import { autotrack } from "./autotrack";
import { commerce } from "./commerce";
import type { Kit } from "./types";

(window.miqParts = window.miqParts || {}).extras = (kit: Kit) => {
  if (kit.config.autotrack?.[0]) autotrack(kit);
  if (kit.config.ecommerce) commerce(kit);
};
