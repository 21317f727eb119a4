// E-commerce for sites that fill a data layer for somebody else: its events are
// read, old and new shapes alike, and told in the GA4 vocabulary.

import type { Kit, Properties } from "./types";

/** Other people's names for what GA4 has a name for. */
const aliases: { [name: string]: string } = {};
const say = (ours: string, theirs: string) => theirs.split(" ").forEach((name) => (aliases[name] = ours));
say("purchase", "transaction order_completed ordercompleted checkout_completed eec.purchase completepayment");
say("refund", "order_refunded eec.refund");
say("add_to_cart", "addtocart product_added add_to_basket eec.add");
say("remove_from_cart", "removefromcart product_removed remove_from_basket eec.remove");
say("view_item", "viewitem productdetail product_viewed viewcontent view_product eec.detail");
say("view_item_list", "product_list_viewed productimpression eec.impressionview");
say("select_item", "productclick product_clicked eec.impressionclick");
say("view_cart", "cart_viewed viewcart view_basket");
say("begin_checkout", "checkout initiatecheckout checkout_started begincheckout eec.checkout");
say("add_payment_info", "payment_info_entered addpaymentinfo");
say("add_shipping_info", "checkout_step_completed addshippinginfo");
say("add_to_wishlist", "addtowishlist product_added_to_wishlist");
say("generate_lead", "lead generatelead");
say("sign_up", "completeregistration signed_up signup");
say("search", "view_search_results products_searched");

const standard = /^(purchase|refund|(add_to|remove_from|view)_cart|(view|select)_(item(_list)?|promotion)|begin_checkout|add_(payment|shipping)_info|add_to_wishlist|generate_lead|sign_up|login|search)$/;

/** GA4's name of an event; undefined for one that is none of commerce. */
export function nameOf(name: unknown): string | undefined {
  const plain = ("" + name).toLowerCase().replace(/[\s-]+/g, "_");
  const found = aliases[plain] || plain;
  return standard.test(found) ? found : undefined;
}

type Raw = { [key: string]: any };

/** The first of the names under which somebody may have put it. */
const pick = (from: Raw, names: string) => names.split(" ").map((name) => from[name]).find((value) => value != null && value !== "");

const number = (value: unknown) => (value == null || isNaN(+(value as string)) ? undefined : +(value as string));

function item(raw: Raw): Properties {
  return Object.assign({}, raw, {
    item_id: pick(raw, "item_id id sku product_id"),
    item_name: pick(raw, "item_name name title"),
    item_brand: pick(raw, "item_brand brand"),
    item_category: pick(raw, "item_category category"),
    item_variant: pick(raw, "item_variant variant"),
    price: number(raw.price),
    quantity: number(pick(raw, "quantity qty")),
    id: undefined,
    sku: undefined,
    product_id: undefined,
    name: undefined,
    brand: undefined,
    category: undefined,
    variant: undefined,
    qty: undefined,
  });
}

/** Properties by GA4's names, whatever shape they came in. */
export function normal(raw: Raw): Properties {
  const { ecommerce, event, eventModel, "gtm.uniqueEventId": _, ...rest } = raw;
  const given: Raw = Object.assign({}, rest, eventModel, typeof ecommerce == "object" && ecommerce);
  // Universal Analytics had an object for each thing to do, with its own fields and products.
  const action = ["purchase", "refund", "add", "remove", "detail", "click", "checkout"].map((name) => given[name]).find((one) => one && typeof one == "object");
  const field: Raw = Object.assign({}, given, action?.actionField);
  const items = pick(Object.assign({}, given, action), "items products contents line_items impressions");
  const found: Properties = {
    order_id: pick(field, "order_id transaction_id transactionId id orderId"),
    value: number(pick(field, "value revenue total transactionTotal")),
    currency: pick(field, "currency currencyCode currency_code"),
    coupon: pick(field, "coupon"),
    tax: number(pick(field, "tax transactionTax")),
    shipping: number(pick(field, "shipping transactionShipping")),
    search_term: pick(field, "search_term query search_string"),
    method: pick(field, "method"),
    items: Array.isArray(items) ? items.map(item) : undefined,
  };
  if (found.order_id != null) found.order_id = "" + found.order_id;
  return JSON.parse(JSON.stringify(found));
}

/** An entry of a data layer as an event of ours; undefined for anything else. */
export function eventOf(entry: unknown): [string, Properties] | undefined {
  if (!entry || typeof entry != "object") return;
  const raw = entry as Raw;
  // gtag's calls are pushed as their arguments.
  if (raw[0] == "event") return eventOf(Object.assign({}, raw[2], { event: raw[1] }));
  const { ecommerce } = raw;
  // Old pushes name no event: what they hold tells.
  const shape = ecommerce && ["purchase", "refund", "add", "remove", "detail"].find((name) => ecommerce[name]);
  const name = nameOf(raw.event) || (shape && nameOf(shape.length > 6 || shape == "refund" ? shape : "eec." + shape));
  return name ? [name, normal(raw)] : undefined;
}

export function commerce({ config, track }: Kit): void {
  const name = config.data_layer || "dataLayer";
  const world = window as never as { [name: string]: unknown[] | undefined };
  const layer = (world[name] = world[name] || []);
  const read = (entry: unknown) => {
    try {
      const event = eventOf(entry);
      if (event) track(...event);
    } catch {
      // Whatever a site pushes must not break its next push.
    }
  };
  layer.forEach(read);
  const push = layer.push;
  layer.push = function (...entries) {
    const length = push.apply(this, entries);
    entries.forEach(read);
    return length;
  };
}
