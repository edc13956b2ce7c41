-- The places between which all events are that were seen after ?1 minus a moment's length and up to ?2; NULL for none.
SELECT
    (SELECT min(place) FROM moment WHERE at > ?1),
    (SELECT max(place) FROM moment WHERE at <= ?2),
    (SELECT min(place) FROM moment WHERE place > (SELECT max(place) FROM moment WHERE at <= ?2))
