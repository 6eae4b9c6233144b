"""PhotoMaker: photos of a person fused with the word for the person in the prompt."""
