"""What the compiler did with a function, as data, as a table and as a picture.

Reading order: `report` is the data, `collect` reads it from a Schedule module, `tree` folds what repeats,
`table`, `page`, `picture`, `dot` and `data` show it, `explanation` is what the user holds.
"""
