// Segment's client for browsers, unchanged but for the host.
import { AnalyticsBrowser } from "@segment/analytics-next";

const query = new URLSearchParams(location.search);
const analytics = AnalyticsBrowser.load({ writeKey: query.get("key"), cdnURL: location.origin });
// As Segment's consent wrapper does.
analytics.addSourceMiddleware(({ payload, next }) => {
  const consent = query.get("consent");
  if (consent) payload.obj.context.consent = { categoryPreferences: JSON.parse(consent) };
  next(payload);
});
(async () => {
  await analytics.ready();
  await analytics.page("Home");
  await analytics.identify("customer-1", { email: "ann@example.com" });
  await analytics.track("Order Completed", { order_id: "A-1", total: 120, revenue: 99.5, currency: "GBP", products: [{ product_id: "SKU1", name: "Shoe", price: 99.5, quantity: 1 }] });
  await analytics.track("Video Playback Started", { title: "How it is made" });
  document.title = "sent";
})().catch((e) => (document.title = "failed: " + e));
