import { fail } from "./notices";

/** Runs a command so that it never breaks its page, and not on a page that nobody sees yet. */
export function run(command: () => unknown): void {
  const safely = async () => {
    try {
      await command();
    } catch (err) {
      fail(err);
    }
  };
  if ((document as { prerendering?: boolean }).prerendering) {
    // Listeners are called in the order they came, and so the commands run in theirs.
    document.addEventListener("prerenderingchange", safely, { once: true });
  } else safely();
}
