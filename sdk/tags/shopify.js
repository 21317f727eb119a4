// Shopify: Settings → Customer events → Add custom pixel. Permission: not required (what the visitor allows is asked below).
!function(w,d,u){w.miq=w.miq||function(){(w.miq.q=w.miq.q||[]).push(arguments)};
var s=d.createElement("script");s.async=1;s.src=u;d.head.appendChild(s)}(window,document,{src});
miq("init", {id});

// What the visitor allows, as Shopify's banner or any other app on it says.
const allows = (p) => {
  const ads = p.marketingAllowed && p.saleOfDataAllowed !== false ? "granted" : "denied";
  miq("consent", { gcm: { analytics_storage: p.analyticsProcessingAllowed ? "granted" : "denied", ad_storage: ads, ad_user_data: ads, ad_personalization: ads } });
};
if (init.customerPrivacy.analyticsProcessingAllowed) allows(init.customerPrivacy); // else it waits for the answer
api.customerPrivacy.subscribe("visitorConsentCollected", (e) => allows(e.customerPrivacy));

const item = (v, quantity) => ({ item_id: v.sku || v.id, item_name: v.product.title, item_variant: v.title, price: Number(v.price.amount), quantity });
const order = (c) => ({ value: Number(c.totalPrice.amount), currency: c.currencyCode, items: c.lineItems.map((l) => item(l.variant, l.quantity)) });
analytics.subscribe("page_viewed", (e) => miq("page", { page_location: e.context.document.location.href }));
analytics.subscribe("product_viewed", (e) => {
  const v = e.data.productVariant;
  miq("track", "view_item", { value: Number(v.price.amount), currency: v.price.currencyCode, items: [item(v, 1)] });
});
analytics.subscribe("product_added_to_cart", (e) => {
  const l = e.data.cartLine;
  miq("track", "add_to_cart", { value: Number(l.cost.totalAmount.amount), currency: l.cost.totalAmount.currencyCode, items: [item(l.merchandise, l.quantity)] });
});
analytics.subscribe("checkout_started", (e) => miq("track", "begin_checkout", order(e.data.checkout)));
analytics.subscribe("checkout_completed", (e) => {
  const c = e.data.checkout;
  miq("identify", { email: c.email || undefined, phone: c.phone || undefined });
  miq("track", "purchase", { order_id: c.order.id, ...order(c) });
});
