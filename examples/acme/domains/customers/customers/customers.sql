SELECT
    customer_id,
    trim(full_name) AS full_name,
    lower(email) AS email,
    phone,
    birth_date,
    country,
    segment,
    loyalty_points,
    allergies,
    consented,
    created_at
FROM crm_customers
