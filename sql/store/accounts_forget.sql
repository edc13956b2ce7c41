DELETE FROM account WHERE id IN (/*row*/ ? /*end*/)
