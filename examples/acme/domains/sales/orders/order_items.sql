SELECT
    order_id,
    line_no,
    sku,
    product_name,
    quantity,
    unit_price,
    discount
FROM shop_lines
