WITH ordered AS (
    SELECT customer_id, count(*) AS orders, sum(total) AS revenue, max(ordered_at) AS last_order_at
    FROM orders
    WHERE status NOT IN ('cancelled', 'returned')
    GROUP BY customer_id
),
open_invoices AS (
    SELECT customer_id, sum(amount) AS open_amount
    FROM invoices
    WHERE paid_on IS NULL
    GROUP BY customer_id
)
SELECT
    c.customer_id,
    c.email,
    c.birth_date,
    c.country,
    c.segment,
    coalesce(o.orders, 0) AS orders,
    cast(coalesce(o.revenue, 0) AS decimal(14, 2)) AS revenue,
    o.last_order_at,
    cast(coalesce(i.open_amount, 0) AS decimal(14, 2)) AS open_amount
FROM customers AS c
LEFT JOIN ordered AS o ON o.customer_id = c.customer_id
LEFT JOIN open_invoices AS i ON i.customer_id = c.customer_id
