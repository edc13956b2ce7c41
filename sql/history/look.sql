-- The first place and the last, up to which number events were deleted, when the oldest was seen, and bytes.
SELECT
    oldest.place,
    (SELECT max(place) FROM event),
    log.pruned,
    moment.at + oldest.after,
    (SELECT page_count * page_size FROM pragma_page_count, pragma_page_size)
FROM log
LEFT JOIN event AS oldest ON oldest.place = (SELECT min(place) FROM event)
LEFT JOIN moment ON moment.place = (SELECT max(place) FROM moment WHERE place <= oldest.place)
