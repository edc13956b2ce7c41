INSERT INTO shape (id, content)
/*rows*/
