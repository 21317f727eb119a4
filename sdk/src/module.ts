// The ES module. Imported from our server it knows its endpoint; bundled into
// an app it has to be told.

import { home } from "./pixel";

home.origin = new URL(import.meta.url).origin;

export { banner, consent, identify, init, on, page, reset, track, use } from "./index";
