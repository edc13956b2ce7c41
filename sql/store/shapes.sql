SELECT id, content FROM shape
