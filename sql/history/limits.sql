-- The first place and the last; the last moment that began before ?1, and the one behind it; pages in the file, free
-- ones among them, and bytes of a page.
SELECT
    (SELECT min(place) FROM event),
    (SELECT max(place) FROM event),
    (SELECT max(place) FROM moment WHERE at < ?1),
    (SELECT min(place) FROM moment WHERE place > (SELECT max(place) FROM moment WHERE at < ?1)),
    page_count,
    freelist_count,
    page_size
FROM pragma_page_count, pragma_freelist_count, pragma_page_size
