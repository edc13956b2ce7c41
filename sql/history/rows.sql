-- Rows with all that is needed to make an event of them; which rows is added behind.
SELECT
    (SELECT min(place) FROM event),
    event.place,
    event.kind,
    (SELECT at FROM moment WHERE moment.place <= event.place ORDER BY moment.place DESC LIMIT 1) + event.after,
    event.body,
    account.content,
    phone.base,
    coalesce(event.state, before.state, phone.kept),
    CASE WHEN before.place IS NULL THEN phone.kept ELSE before.state END,
    common.content,
    agent.content
FROM event
LEFT JOIN phone ON phone.id = event.phone
LEFT JOIN trait AS account ON account.id = phone.account
LEFT JOIN trait AS common ON common.id = phone.common
LEFT JOIN trait AS agent ON agent.id = phone.agent
LEFT JOIN event AS before ON before.place = event.place - event.back AND event.back > 0
