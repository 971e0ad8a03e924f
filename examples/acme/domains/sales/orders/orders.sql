SELECT
    order_id,
    customer_id,
    ordered_at,
    status,
    channel,
    upper(currency) AS currency,
    total,
    nullif(trim(note), '') AS note
FROM shop_orders
