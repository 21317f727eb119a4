// Consent platforms on pages where they speak neither the IAB's languages nor
// Consent Mode. Each is asked in its own words and answers in Consent Mode's,
// which the server knows how to weigh.

import { toGoogle } from "../google";
import type { GoogleConsent } from "../types";

type Heard = (gcm: GoogleConsent) => void;

// The platforms' globals, of which each has its own shape.
type Any = any;
const world = window as Any;

const of = (analytics: unknown, advertising: unknown): GoogleConsent => toGoogle(analytics ? (advertising ? "full" : "partial") : "none");

/** OneTrust: categories that are on, such as ",C0001,C0002,". C0002 measures, C0004 advertises. */
export function oneTrust(heard: Heard): void {
  const read = () => {
    const groups = "" + (world.OnetrustActiveGroups || "");
    // Before the answer the groups are the defaults, which nobody has chosen.
    if (groups && world.OneTrust?.IsAlertBoxClosed?.()) heard(of(/,C0002,/.test(groups), /,C0004,/.test(groups)));
  };
  addEventListener("OneTrustGroupsUpdated", read);
  read();
}

export function cookiebot(heard: Heard): void {
  const read = () => {
    const bot = world.Cookiebot;
    if (bot?.hasResponse) heard(of(bot.consent?.statistics, bot.consent?.marketing));
  };
  for (const name of ["CookiebotOnConsentReady", "CookiebotOnAccept", "CookiebotOnDecline"]) addEventListener(name, read);
  read();
}

/** Usercentrics: version 3 tells categories in its event; version 2 knows services, each of a category. */
export function usercentrics(heard: Heard): void {
  const read = async () => {
    const { __ucCmp, UC_UI } = world;
    if (__ucCmp?.getConsentDetails) {
      const { consent, categories = {} } = await __ucCmp.getConsentDetails();
      const on = (...names: string[]) => names.some((name) => categories[name]?.state == "ALL_ACCEPTED");
      if (consent?.type == "EXPLICIT") heard(of(on("functional", "analytics"), on("marketing")));
    } else if (UC_UI?.isInitialized?.() && !UC_UI.isConsentRequired?.()) {
      const services: Any[] = UC_UI.getServicesBaseInfo();
      const on = (category: RegExp) => {
        const some = services.filter((service) => category.test(service.categorySlug));
        return some[0] && some.every((service) => service.consent.status);
      };
      heard(of(on(/functional|analytics/), on(/marketing/)));
    }
  };
  for (const name of ["UC_CONSENT", "UC_UI_INITIALIZED", "UC_UI_CMP_EVENT"]) addEventListener(name, () => void read().catch(() => {}));
  read().catch(() => {});
}

/** Didomi: purposes by their ids, its own and the IAB's. */
export function didomi(heard: Heard): void {
  const read = (api: Any) => {
    if (api.shouldUserStatusBeCollected?.()) return;
    const enabled: string[] = api.getCurrentUserStatus ? Object.values<Any>(api.getCurrentUserStatus().purposes || {}).filter((p) => p.enabled).map((p) => p.id) : api.getUserStatus().purposes.consent.enabled;
    const on = (...names: string[]) => names.some((name) => enabled.includes(name));
    heard(of(on("measure_ad_performance", "market_research", "analytics", "measure_content_performance"), on("create_ads_profile") && on("select_personalized_ads")));
  };
  (world.didomiOnReady = world.didomiOnReady || []).push((api: Any) => {
    read(api);
    api.on?.("consent.changed", () => read(api));
  });
}

export const platforms = [oneTrust, cookiebot, usercentrics, didomi];
