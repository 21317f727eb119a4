// WooCommerce: into the child theme's functions.php, or a snippet of the plugin Code Snippets.
add_action('wp_head', function () { ?>
{tag}<?php }, 1);

// The purchase, once an order, on the page that thanks for it.
add_action('woocommerce_thankyou', function ($order_id) {
	$order = wc_get_order($order_id);
	if (!$order || $order->has_status('failed') || $order->get_meta('_miq_reported')) {
		return;
	}
	$order->update_meta_data('_miq_reported', '1');
	$order->save();
	$items = [];
	foreach ($order->get_items() as $line) {
		$product = $line->get_product();
		$items[] = [
			'item_id' => $product && $product->get_sku() ? $product->get_sku() : (string) $line->get_product_id(),
			'item_name' => $line->get_name(),
			'price' => (float) $order->get_item_total($line),
			'quantity' => (int) $line->get_quantity(),
		];
	}
	$safe = JSON_HEX_TAG | JSON_HEX_AMP | JSON_HEX_APOS | JSON_UNESCAPED_UNICODE;
	printf(
		"<script>\nmiq('identify', %s);\nmiq('track', 'purchase', %s);\n</script>\n",
		wp_json_encode(['email' => $order->get_billing_email(), 'phone' => $order->get_billing_phone()], $safe),
		wp_json_encode([
			'order_id' => $order->get_order_number(),
			'value' => (float) $order->get_total(),
			'currency' => $order->get_currency(),
			'items' => $items,
		], $safe)
	);
}, 10, 1);
