"""What the original claims, and what decides it.

`texts/NN.yaml` hold the claims of chapter NN: the slide's words, test, rule, preconditions, a sentence for each
verdict. `schema` reads and checks them, `words` writes numbers into sentences, `rules` decide, `engine` gives verdicts.
"""
