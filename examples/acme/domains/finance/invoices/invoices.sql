SELECT
    invoice_id,
    order_id,
    customer_id,
    amount,
    tax_rate,
    issued_on,
    paid_on
FROM ledger
