// The public surface, and nothing else.

import { learn } from "./identity";
import { listen } from "./notices";
import { view } from "./pages";
import * as pixel from "./pixel";
import { run } from "./run";
import type * as Public from "./sdk";

export type * from "./sdk";

const command =
  <A extends unknown[]>(act: (...args: A) => unknown) =>
  (...args: A): void =>
    run(() => act(...args));

export const init: typeof Public.init = command(pixel.init);
export const page: typeof Public.page = command((props) => view(pixel.track, props));
export const track = command(pixel.track) as typeof Public.track;
export const identify: typeof Public.identify = command(learn);
export const consent: typeof Public.consent = command(pixel.update);
export const banner: typeof Public.banner = command(pixel.reopen);
export const reset: typeof Public.reset = command(pixel.reset);
export const use: typeof Public.use = command(pixel.use);

export const on = command((notice: keyof Public.Notices, fn: (detail: never) => void) => {
  listen(notice, fn as () => void);
  // Who comes after the decision hears of it all the same.
  const state = pixel.current();
  if (notice == "consent" && state) fn({ state } as never);
}) as typeof Public.on;
