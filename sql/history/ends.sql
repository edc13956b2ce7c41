-- The last row; up to which number events were deleted; the newest moment; the greatest ids.
SELECT
    (SELECT max(place) FROM event),
    log.pruned,
    moment.at,
    (SELECT max(id) FROM trait),
    (SELECT max(id) FROM phone)
FROM log
LEFT JOIN moment ON moment.place = (SELECT max(place) FROM moment)
