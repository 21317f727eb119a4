import type { Config, ConsentMode } from "./types";

/**
 * The pixel's public settings; undefined for a pixel that is off or unknown.
 * Where they cannot be had, the page's own word on the consent mode counts, or
 * else the mode that takes nothing for granted.
 */
export async function loadConfig(endpoint: string, id: string, fallback: ConsentMode = "cmp"): Promise<Config | undefined> {
  try {
    // No credentials: there is no consent yet to send an identifier under.
    const answer = await fetch(endpoint + "/config/" + encodeURIComponent(id) + ".json", { credentials: "omit" });
    if (answer.ok || answer.status == 404) {
      const config: Config = await answer.json();
      return config.enabled ? config : undefined;
    }
  } catch {
    // Offline, blocked, or no JSON: fall through.
  }
  return { enabled: true, consent_mode: fallback };
}
