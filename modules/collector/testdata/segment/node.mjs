// Segment's client for servers, unchanged but for the host.
import { Analytics } from "@segment/analytics-node";

const [host, writeKey] = process.argv.slice(2);
const analytics = new Analytics({ writeKey, host, flushAt: 3, maxRetries: 0 });
const failed = [];
analytics.on("error", (e) => failed.push(String(e.reason ?? e.code)));
const context = { ip: "203.0.113.7", userAgent: "Mozilla/5.0 (X11; Linux x86_64) Chrome/142.0", consent: { categoryPreferences: { Analytics: true, Advertising: true } } };
analytics.identify({ anonymousId: "anon-node", userId: "customer-1", traits: { email: "Ann@Example.com" }, context });
analytics.track({
  anonymousId: "anon-node", userId: "customer-1", event: "Order Completed", context, messageId: "order-message",
  properties: { order_id: "A-1", revenue: 99.5, currency: "GBP", products: [{ product_id: "SKU1", name: "Shoe", price: 99.5, quantity: 1 }] },
});
analytics.page({ anonymousId: "anon-node", name: "Home", context, properties: { url: "https://shop.example.com/?gclid=x" } });
analytics.track({ anonymousId: "anon-no", event: "Refused Here", context: { consent: { categoryPreferences: { Analytics: false, Advertising: false } } } });
analytics.group({ userId: "customer-1", groupId: "company", context });
analytics.alias({ userId: "customer-1", previousId: "anon-before", context });
await analytics.closeAndFlush({ timeout: 10000 });
console.log(JSON.stringify({ failed }));
