-- The exports of the campaign tools, as they are: what is wrong in them is for the contract to say.
SELECT
    lead_id,
    source,
    score
FROM leads
