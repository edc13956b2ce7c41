SELECT substr(content, 2) FROM trait WHERE substr(content, 1, 1) = x'03'
