"""`bolid publish --run`: hands a finished run on as a repository of the Hugging Face hub."""
