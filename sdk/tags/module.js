import { init, page, track } from {mjs};

init({id}, { endpoint: {origin} });
page();

// Later, what pays:
track("purchase", { order_id: "A-1", value: 99.5, currency: "GBP", items: [{ item_id: "SKU1", price: 99.5, quantity: 1 }] });
