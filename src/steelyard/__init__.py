"""steelyard: how big should this model be?"""
