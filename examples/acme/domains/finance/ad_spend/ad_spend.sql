SELECT
    day,
    channel,
    max(campaign) AS campaign,
    cast(sum(cost) AS decimal(10, 2)) AS cost,
    cast(sum(clicks) AS int) AS clicks
FROM bookings
GROUP BY day, channel
