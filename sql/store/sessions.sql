SELECT id, holder, began, used FROM session
