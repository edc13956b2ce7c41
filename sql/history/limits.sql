-- The first place and the last; the last moment that is too old, and the one behind it; pages in the file, free ones among
-- them, and bytes of a page.
--
-- Moments before ?1 are too old, and what is before them goes with them, so that a clock that was ahead for a while keeps
-- nothing; but behind the first moment from ?1 to now, ?2, none is: there a clock was behind for a while.
WITH expired (place) AS (
    SELECT max(place)
    FROM moment
    WHERE at < ?1
        AND place < coalesce((SELECT place FROM moment WHERE at BETWEEN ?1 AND ?2 ORDER BY place LIMIT 1), 9223372036854775807)
)
SELECT
    (SELECT min(place) FROM event),
    (SELECT max(place) FROM event),
    expired.place,
    (SELECT min(place) FROM moment WHERE place > expired.place),
    page_count,
    freelist_count,
    page_size
FROM expired, pragma_page_count, pragma_freelist_count, pragma_page_size
