// What a shop's own code does with the tag: tell it what the visitor did. All of
// it may be called before the visitor chose; the tag holds it, or forgets it.
(function () {
  "use strict";
  var body = document.body.dataset;
  var log = document.getElementById("log");

  function line(text, href) {
    var quiet = log.querySelector(".quiet");
    if (quiet) quiet.remove();
    var li = document.createElement("li");
    li.append(document.createElement("span"));
    li.firstChild.textContent = text;
    if (href) {
      var a = document.createElement("a");
      a.href = href;
      a.target = "_blank";
      a.rel = "noopener";
      a.textContent = "See it in the console";
      li.append(a);
    }
    log.prepend(li);
  }

  var item = { item_id: body.sku, item_name: body.name, item_category: body.category, price: Number(body.price), quantity: 1 };
  var basket = { value: item.price, currency: "USD", items: [item] };

  miq("on", "consent", function (e) {
    line("Consent is now: " + e.state);
  });
  miq("on", "sent", function (e) {
    e.ids.forEach(function (id) {
      line("Event sent", body.console + "/events/" + encodeURIComponent(id));
    });
  });

  if (body.view === "product") miq("track", "view_item", basket);
  if (body.view === "checkout") miq("track", "begin_checkout", basket);

  var add = document.getElementById("add");
  if (add) add.addEventListener("click", function () { miq("track", "add_to_cart", basket); });

  var buy = document.getElementById("buy");
  if (buy) buy.addEventListener("submit", function (e) {
    e.preventDefault();
    var order = "FF-" + Math.random().toString(36).slice(2, 8).toUpperCase();
    sessionStorage.setItem("shop_order", order); // the shop's own, not the tag's
    miq("identify", { email: document.getElementById("email").value });
    miq("track", "purchase", Object.assign({ order_id: order }, basket));
    location.href = buy.action;
  });

  var order = document.getElementById("order");
  if (order) order.textContent = sessionStorage.getItem("shop_order") || "";

  document.querySelector("[data-privacy]").addEventListener("click", function () { miq("banner"); });
})();
